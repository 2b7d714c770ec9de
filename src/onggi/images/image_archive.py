"""An archive of images, read once and forward: each member goes into staging as it comes.

Reads what `docker save` writes, old (DIR/layer.tar, HEX.json, symbolic links between layers) and new (an OCI
layout with manifest.json), and plain OCI layouts; packed with gzip, zstd, xz, bzip2 or not at all.
Nothing is written under a name from the archive: names are keys of a dictionary here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from onggi.errors import InvalidParameter
from onggi.images.compression import decompress
from onggi.images.staging import Source, Staging
from onggi.images.tar.entry import DIRECTORY, HARD_LINK, REGULAR, SYMLINK, Entry, shown
from onggi.images.tar.reader import Reader
from onggi.spec import digest as digests

DOCUMENTS = ("manifest.json", "index.json", "oci-layout", "repositories")
DOCUMENT_BYTES = 8 << 20
MEMBERS_MAX = 100_000
BLOBS = "blobs/sha256/"
Report = Callable[[str, int, int], None]  # name of the member, bytes so far, bytes in all


class Archive:
    """What the archive held: documents by name, blobs' digests by name, links."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.blobs: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def digest(self, name: str) -> str:
        """The blob of a name, through links. Raises InvalidParameter."""
        wanted, seen = clean(encoded(name)), 0
        while wanted in self.links and seen < 40:
            wanted, seen = self.links[wanted], seen + 1
        if wanted not in self.blobs:
            raise InvalidParameter(f"invalid archive: it names {name}, which is not in it")
        return self.blobs[wanted]


def read(staging: Staging, stream: Source, report: Report) -> Archive:
    """Stage everything. Raises BadArchive, InvalidParameter, Corrupt, NoSpace."""
    archive = Archive()
    packed = decompress(stream)
    reader = Reader(packed)
    seen: set[str] = set()
    for count, entry in enumerate(reader):
        name = clean(entry.name)
        if count >= MEMBERS_MAX:
            raise InvalidParameter(f"invalid archive: it has more than {MEMBERS_MAX} members")
        if entry.kind == DIRECTORY:
            continue
        if name in seen:
            raise InvalidParameter(f"invalid archive: {shown(entry.name)} comes twice")
        seen.add(name)
        _member(staging, archive, reader, entry, name, report)
    while packed.read(1 << 20):
        pass
    return archive


def encoded(name: str) -> bytes:
    """A name out of a document. Raises InvalidParameter for what is no text (half a surrogate pair)."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidParameter(f"invalid archive: the name {name!r} is not text") from None


def clean(name: bytes) -> str:
    """A member's name without what means nothing. Raises InvalidParameter for one that leads outside."""
    text = name.decode("utf-8", "surrogateescape")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts:
        raise InvalidParameter(f"invalid archive: the name {shown(name)!r} leads outside of it")
    return "/".join(parts)


def _member(
    staging: Staging, archive: Archive, reader: Reader, entry: Entry, name: str, report: Report
) -> None:
    if entry.kind == SYMLINK:
        directory = posixpath.dirname(encoded(name))
        archive.links[name] = clean(posixpath.normpath(posixpath.join(directory, entry.linkname)))
    elif entry.kind == HARD_LINK:
        archive.links[name] = clean(entry.linkname)
    elif entry.kind != REGULAR or entry.sparse is not None:
        raise InvalidParameter(f"invalid archive: {shown(entry.name)} is not a plain file")
    elif name in DOCUMENTS:
        if entry.size > DOCUMENT_BYTES:
            raise InvalidParameter(f"invalid archive: {name} has more than {DOCUMENT_BYTES} bytes")
        archive.documents[name] = b"".join(_pieces(reader))
    else:
        archive.blobs[name] = _stage(staging, reader, entry, name, report)


def _stage(staging: Staging, reader: Reader, entry: Entry, name: str, report: Report) -> str:
    expected = ""
    if name.startswith(BLOBS) and digests.is_hex64(name.removeprefix(BLOBS)):
        expected = digests.PREFIX + name.removeprefix(BLOBS)
        if staging.sound(expected):
            return expected

    def pieces() -> Iterator[bytes]:
        done = 0
        for piece in _pieces(reader):
            yield piece
            done += len(piece)
            report(shown(entry.name), done, entry.size)

    return staging.blob(pieces(), expected)


def _pieces(reader: Reader) -> Iterator[bytes]:
    while piece := reader.piece():
        yield bytes(piece)

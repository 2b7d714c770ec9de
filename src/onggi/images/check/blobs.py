"""Blobs against their digests and their rows; index.json and oci-layout.

    blob-corrupt     a file whose bytes have another digest; a layer that its recipe no longer gives
    blob-missing     a row whose file is gone
    blob-unowned     a file that no row, no lease and no work under way needs
    file-unknown     something in the layout that is no blob and on no way in
    index-wrong      index.json or oci-layout says something else than the rows

A manifest that this engine composed itself is composed again; a layer is packed again from its recipe. For
all others the next `load` or `pull` that brings them writes them anew (Staging.sound).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

from onggi.errors import Corrupt, OnggiError
from onggi.images import layout, manifests
from onggi.images.check.fault import Checked, Fault
from onggi.images.images import Images
from onggi.spec import digest as digests
from onggi.spec import reference
from onggi.store import atomic
from onggi.store import images as rows
from onggi.store import indexes as index_rows
from onggi.store.blobs import LAYOUT


def faults(images: Images, checked: Checked, *, quick: bool) -> Iterator[Fault]:
    """Everything about blobs; without `quick` each is read whole."""
    with images.lock:
        needed = _needed(images)
        here = dict(images.blobs.list_())
        pinned = set(images.pins)
    for digest in sorted(needed.keys() - here.keys() - pinned):
        if not images.blobs.exists(digest) and digest in _needed(images):
            yield _broken(images, digest, needed[digest], "blob-missing", "is missing from the store")
        elif not quick and images.blobs.local(digest):
            yield from _read(images, digest, images.blobs.size(digest), needed[digest], checked)
    for digest, size in sorted(here.items()):
        checked.blobs += 1
        if digest not in needed and digest not in pinned:
            remedy = f"delete it, {size} bytes"
            yield Fault(
                "blob-unowned", digest, "no image needs it", size, remedy, _remove_unowned(images, digest)
            )
        elif not quick:
            yield from _read(images, digest, size, needed.get(digest, []), checked)
    yield from _unknown_files(images)


def _needed(images: Images) -> dict[str, list[str]]:
    """Blob -> the ids of the images that need it; none for a blob that another owner keeps.

    Asked of the rows, and of the images' documents too: a row that was lost must not cost a blob.
    """
    needed: dict[str, list[str]] = {digest: [] for digest in rows.known_blobs(images.database)}
    for row in rows.list_(images.database):
        wanted = [row.id, row.manifest, *rows.blobs(images.database, row.id)]
        with contextlib.suppress(OnggiError):
            wanted += [layer.digest for layer in images.manifest(images.of(row)).layers]
        for digest in dict.fromkeys(wanted):
            needed.setdefault(digest, []).append(row.id)
    return needed


def _read(images: Images, digest: str, size: int, users: list[str], checked: Checked) -> Iterator[Fault]:
    try:
        images.blobs.verify(digest)
        checked.bytes_read += size
    except Corrupt as error:
        if images.blobs.exists(digest):  # else it was removed meanwhile, with what needed it
            said = error.message.removeprefix(f"blob {digest} ")
            yield _broken(images, digest, users, "blob-corrupt", said)
    except OSError as error:
        yield Fault("blob-corrupt", digest, f"cannot be read: {error.strerror}", size)


def _broken(images: Images, digest: str, users: list[str], kind: str, said: str) -> Fault:
    size = images.blobs.size(digest) if images.blobs.exists(digest) else 0
    role, shown = _role(images, digest, users)
    rebuilt = manifests.recompose(images, digest) if role == "manifest" else None
    if rebuilt is not None:
        return Fault(
            kind, digest, f"manifest of {shown} {said}", len(rebuilt), "compose it again",
            _put(images, digest, rebuilt),
        )  # fmt: skip
    return Fault(kind, digest, f"{role} of {shown} {said}; load or pull it again", size)


def _role(images: Images, digest: str, users: list[str]) -> tuple[str, str]:
    """What a blob is to the first image that needs it, and that image's name."""
    if not users and (standing := index_rows.of_blob(images.database, digest)):
        role = "index" if digest in standing else "document"
        return role, reference.parse(standing[digest if role == "index" else next(iter(standing))]).familiar
    if not users:
        return "blob", "a build cache or a lease"
    row = rows.get(images.database, users[0])
    names = [reference.parse(one.name).familiar for one in rows.names(images.database, users[0])]
    shown = names[0] if names else digests.short(users[0])
    if digest == users[0] and row is not None and row.kind == rows.IMAGE:
        return "configuration", shown
    return ("manifest" if row is not None and row.manifest == digest else "layer"), shown


def _put(images: Images, digest: str, data: bytes) -> Callable[[], None]:
    def mend() -> None:
        if images.blobs.add(data) != digest:
            raise Corrupt(f"blob {digest} was composed otherwise")

    return mend


def _remove_unowned(images: Images, digest: str) -> Callable[[], None]:
    def mend() -> None:
        with images.lock:
            if digest not in _needed(images) and not images.pins[digest]:
                images.blobs.remove(digest)

    return mend


def _unknown_files(images: Images) -> Iterator[Fault]:
    """What neither we nor the image layout put there. Partial blobs under way are ours."""
    blobs = images.blobs
    places: dict[str, Callable[[str], bool]] = {
        blobs.oci_dir: lambda name: name in ("oci-layout", "index.json", "blobs", "partial"),
        f"{blobs.oci_dir}/blobs": lambda name: name == "sha256",
        blobs.blobs_dir: digests.is_hex64,
        blobs.partial_dir: lambda name: digests.is_hex64(name) or name.startswith("new-"),
    }
    for directory, ours in places.items():
        for name in sorted(os.listdir(directory)):
            path = f"{directory}/{name}"
            under_way = name == f"index.json.{os.getpid()}.new"
            if not ours(name) and not under_way and os.path.lexists(path):
                yield _unknown(images, path)


def _unknown(images: Images, path: str) -> Fault:
    facts = os.lstat(path)
    kind = "directory" if stat.S_ISDIR(facts.st_mode) else "file"
    shown = os.path.relpath(path, images.paths.root)
    said = f"a {kind} that is no part of the layout"
    remedy = f"delete it, {facts.st_size} bytes"
    return Fault("file-unknown", shown, said, facts.st_size, remedy, lambda: images.trash.throw(path))


def index_faults(images: Images) -> Iterator[Fault]:
    """index.json and oci-layout against what they should say."""
    path = f"{images.blobs.oci_dir}/oci-layout"
    if _content(path) != LAYOUT:
        said, remedy = "is not what it has to be", "write it again"
        yield Fault(
            "index-wrong", "oci-layout", said, len(LAYOUT), remedy, lambda: atomic.write(path, LAYOUT)
        )
    with images.lock:
        wanted = layout.content(images)
        found = _content(f"{images.blobs.oci_dir}/index.json")
    if found != wanted:
        said = "is missing" if found is None else "does not say what the database says"
        remedy = "write it again"
        yield Fault("index-wrong", "index.json", said, len(wanted), remedy, lambda: layout.write(images))


def _content(path: str) -> bytes | None:
    try:
        return atomic.read(path, 256 << 20)
    except (OSError, OnggiError):
        return None

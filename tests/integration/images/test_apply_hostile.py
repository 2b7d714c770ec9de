"""Hostile layers: whatever an archive says, a canary beside the target stays as it is."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.errors import OnggiError, TooLarge
from onggi.images.apply import Limits, apply, extract
from onggi.images.compression import Compressor, decompress
from onggi.images.pack import pack
from onggi.images.tar import BadArchive, Entry, Writer, read
from onggi.images.tar.entry import CHAR, DIRECTORY, HARD_LINK, SYMLINK

pytestmark = pytest.mark.root


def layer(*items: tuple[Entry, bytes] | Entry) -> io.BytesIO:
    stream = io.BytesIO()
    writer = Writer(stream)
    for item in items:
        entry, content = item if isinstance(item, tuple) else (item, b"")
        writer.add(entry, content)
    writer.close()
    stream.seek(0)
    return stream


def file(name: bytes, content: bytes = b"evil") -> tuple[Entry, bytes]:
    return Entry(name, size=len(content)), content


def link(name: bytes, target: bytes) -> Entry:
    return Entry(name, SYMLINK, linkname=target, mode=0o777)


class Place:
    def __init__(self, top: Path) -> None:
        self.canary = top / "canary"
        self.canary.mkdir()
        (self.canary / "file").write_text("alive")
        self.target = top / "target"
        self.target.mkdir()
        self.fd = os.open(self.target, os.O_RDONLY)
        self.before = self.facts()

    def facts(self) -> list[object]:
        return [
            [(p.name, p.lstat().st_mode, p.lstat().st_nlink, p.lstat().st_mtime_ns, p.lstat().st_uid)
             for p in (self.canary, self.canary / "file")],
            sorted(os.listdir(self.canary)), sorted(os.listdir(self.canary.parent)),
            (self.canary / "file").read_text(),
        ]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    os.close(made.fd)
    assert made.facts() == made.before


HOSTILE = {
    "dotdot": [file(b"../canary/file")],
    "deep dotdot": [file(b"a/b/../../../canary/file")],
    "absolute": [file(b"/canary/file")],
    "absolute dotdot": [file(b"/../../canary/file")],
    "parent link": [link(b"l", b"../canary"), file(b"l/file")],
    "absolute parent link": [link(b"l", b"@CANARY@"), file(b"l/file")],
    "link chain": [link(b"a", b".."), link(b"b", b"a/canary"), file(b"b/file")],
    "hard link out": [Entry(b"h", HARD_LINK, linkname=b"../canary/file"), file(b"h")],
    "absolute hard link": [Entry(b"h", HARD_LINK, linkname=b"@CANARY@/file"), file(b"h")],
    "hard link through a link": [link(b"l", b"@CANARY@"), Entry(b"h", HARD_LINK, linkname=b"l/file")],
    "file over a link": [link(b"l", b"@CANARY@/file"), file(b"l")],
    "directory over a link": [link(b"l", b"@CANARY@"), Entry(b"l", DIRECTORY, mode=0o700), file(b"l/file")],
    "whiteout dotdot": [Entry(b"d", DIRECTORY), file(b"d/.wh..", b"")],
    "whiteout dot dot": [Entry(b"d", DIRECTORY), file(b"d/.wh...", b"")],
    "whiteout through a link": [link(b"l", b"../canary"), file(b"l/.wh.file", b"")],
    "opaque through a link": [link(b"l", b"@CANARY@"), file(b"l/.wh..wh..opq", b"")],
    "empty link": [link(b"l", b"")],
    "loop": [link(b"a", b"b"), link(b"b", b"a"), file(b"a/x")],
    "long part": [file(b"x" * 300)],
    "device out of range": [Entry(b"dev", CHAR, major=1 << 20, minor=1)],
    "owner -1": [(Entry(b"o", uid=(1 << 32) - 1), b"")],
    "root as file": [file(b"./")],
    "deep": [file(b"a/" * 1900 + b"f"), file(b"a", b"now a file")],
}


@pytest.mark.parametrize("policy", ["overlay", "files", "delete", "extract"])
@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_outside_is_touched(case: str, policy: str, place: Place) -> None:
    items: list[tuple[Entry, bytes] | Entry] = []
    for item in HOSTILE[case]:
        entry, content = item if isinstance(item, tuple) else (item, b"")
        entry = Entry(
            entry.name, entry.kind, mode=entry.mode, uid=entry.uid, size=entry.size, major=entry.major,
            minor=entry.minor, linkname=entry.linkname.replace(b"@CANARY@", os.fsencode(place.canary)),
        )  # fmt: skip
        items.append((entry, content))
    try:
        if policy == "extract":
            extract(layer(*items), place.fd)
        else:
            apply(layer(*items), place.fd, whiteouts=policy)
    except OnggiError as error:
        assert error.message


@pytest.mark.parametrize("name", [b"../x", b"a/../../x"])
def test_leaving_the_root_is_refused_by_name(name: bytes, place: Place) -> None:
    with pytest.raises(BadArchive, match="outside of the root directory"):
        apply(layer(file(name)), place.fd, whiteouts="overlay")


def test_ten_gigabytes_of_zeroes_are_stopped(place: Place) -> None:
    packed = io.BytesIO()
    compressor = Compressor(packed, "zstd")
    writer = Writer(compressor)
    writer.begin(Entry(b"zeroes", size=10 << 30))
    writer.flush()
    for _ in range(64):
        compressor.write(bytes(1 << 20))
    compressor.close()
    packed.seek(0)
    with pytest.raises(TooLarge, match="more than 1073741824 bytes"):
        apply(decompress(packed), place.fd, whiteouts="overlay", limits=Limits(content_bytes=1 << 30))


def test_a_ratio_beyond_the_limit_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onggi.images.compression.RATIO_FREE", 1 << 20)
    packed = io.BytesIO()
    compressor = Compressor(packed, "gzip")
    for _ in range(64):
        compressor.write(bytes(1 << 20))
    compressor.close()
    packed.seek(0)
    stream = decompress(packed, max_ratio=50)
    with pytest.raises(BadArchive, match="over the limit of 50 to 1"):
        while stream.read(1 << 16):
            pass


def test_too_many_members(place: Place) -> None:
    with pytest.raises(TooLarge, match="more than 2 members"):
        apply(
            layer(*[file(b"%d" % n) for n in range(3)]),
            place.fd,
            whiteouts="overlay",
            limits=Limits(entries=2),
        )


def test_directory_over_file_and_file_over_directory(place: Place) -> None:
    items = [
        file(b"a"),
        Entry(b"a", DIRECTORY),
        file(b"a/b"),
        Entry(b"c", DIRECTORY),
        file(b"c/d"),
        file(b"c", b"now"),
    ]
    apply(layer(*items), place.fd, whiteouts="overlay")
    assert (place.target / "a" / "b").read_bytes() == b"evil"
    assert (place.target / "c").read_bytes() == b"now"


def test_whiteouts_become_overlay_marks_and_come_back(place: Place) -> None:
    items = [
        Entry(b"d", DIRECTORY, mode=0o755),
        file(b"d/.wh..wh..opq", b""),
        file(b"d/.wh.gone", b""),
        file(b"d/new"),
    ]
    apply(layer(*items), place.fd, whiteouts="overlay")
    gone = (place.target / "d" / "gone").lstat()
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    assert os.getxattr(place.target / "d", "trusted.overlay.opaque") == b"y"
    stream = io.BytesIO()
    pack(place.fd, stream, overlay=[])
    stream.seek(0)
    names = [entry.name for entry in read(stream)]
    assert names == [b"d/", b"d/.wh..wh..opq", b"d/.wh.gone", b"d/new"]


def test_whiteouts_become_files_and_come_back(place: Place) -> None:
    """For fuse-overlayfs where no device 0:0 can be made. What the layer brings itself is not taken away."""
    items = [
        Entry(b"d", DIRECTORY, mode=0o755),
        file(b"d/.wh..wh..opq", b""),
        file(b"d/.wh.gone", b""),
        file(b"d/.wh.new", b""),
        file(b"d/new"),
        file(b".wh.e", b""),
        Entry(b"e", DIRECTORY, mode=0o755),
        file(b"e/f"),
    ]
    apply(layer(*items), place.fd, whiteouts="files")
    found = {str(path.relative_to(place.target)) for path in place.target.rglob("*")}
    assert found == {"d", "d/.wh..wh..opq", "d/.wh.gone", "d/new", "e", "e/.wh..wh..opq", "e/f"}
    stream = io.BytesIO()
    pack(place.fd, stream, overlay=[])
    stream.seek(0)
    names = [entry.name for entry in read(stream)]
    assert names == [b"d/", b"d/.wh..wh..opq", b"d/.wh.gone", b"d/new", b"e/", b"e/.wh..wh..opq", b"e/f"]


@pytest.mark.parametrize("policy", ["overlay", "files"])
def test_whiteouts_below_what_the_layer_replaces(place: Place, policy: str) -> None:
    """They go with the directory in which they are, whatever comes in its place."""
    items = [
        Entry(b"d", DIRECTORY), file(b"d/.wh.x", b""), file(b"d"),
        Entry(b"e", DIRECTORY), Entry(b"f", DIRECTORY), file(b"f/.wh.x", b""), link(b"f", b"/e"),
    ]  # fmt: skip
    apply(layer(*items), place.fd, whiteouts=policy)
    assert (place.target / "d").read_bytes() == b"evil"
    assert os.listdir(place.target / "e") == []


def test_whiteouts_delete_only_what_is_below(place: Place) -> None:
    (place.target / "d").mkdir()
    (place.target / "d" / "old").write_text("old")
    (place.target / "x").write_text("old")
    items = [Entry(b"d", DIRECTORY), file(b"d/new"), file(b"d/.wh..wh..opq", b""), file(b".wh.x", b"")]
    apply(layer(*items), place.fd, whiteouts="delete")
    assert sorted(os.listdir(place.target)) == ["d"]
    assert os.listdir(place.target / "d") == ["new"]


def test_overlay_marks_in_an_image_are_not_taken(place: Place) -> None:
    entry = Entry(b"d", DIRECTORY, xattrs={b"trusted.overlay.redirect": b"/etc", b"user.kept": b"1"})
    apply(layer(entry), place.fd, whiteouts="overlay")
    assert "trusted.overlay.redirect" not in os.listxattr(place.target / "d")


def test_no_overwrite_dir_non_dir(place: Place) -> None:
    (place.target / "d").mkdir()
    with pytest.raises(BadArchive, match='cannot overwrite directory "/d" with non-directory "/"'):
        extract(layer(file(b"d")), place.fd, no_overwrite_dir_non_dir=True)

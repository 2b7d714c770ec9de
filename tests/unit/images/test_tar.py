"""Our tar against tarfile and GNU tar, both directions, and cut off at every block."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onggi.images.tar import BadArchive, Entry, Reader, Writer
from onggi.images.tar.entry import DIRECTORY, REGULAR, SYMLINK

PARTS = (
    st.binary(min_size=1, max_size=180)
    .map(lambda raw: bytes(b for b in raw if b not in b"\0/") or b"x")
    .filter(lambda part: part not in (b".", b".."))
)
NAMES = st.lists(PARTS, min_size=1, max_size=8).map(b"/".join)


@st.composite
def members(draw: st.DrawFn) -> tuple[Entry, bytes]:
    kind = draw(st.sampled_from([REGULAR, DIRECTORY, SYMLINK]))
    content = draw(st.binary(max_size=1500)) if kind == REGULAR else b""
    xattrs = draw(st.dictionaries(st.sampled_from([b"user.a", b"user.b"]), st.binary(max_size=50)))
    entry = Entry(
        draw(NAMES),
        kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 1 << 31)),
        gid=draw(st.integers(0, 1 << 31)),
        size=len(content),
        mtime_ns=draw(st.integers(-(10**18), 10**19)),
        linkname=draw(NAMES) if kind == SYMLINK else b"",
        xattrs=xattrs,
    )
    return entry, content


def written(items: list[tuple[Entry, bytes]]) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream)
    for entry, content in items:
        writer.add(entry, content)
    writer.close()
    return stream.getvalue()


def facts(data: bytes) -> list[tuple[object, ...]]:
    reader = Reader(io.BytesIO(data))
    found = []
    for entry in reader:
        content = b""
        while piece := reader.piece():
            content += piece
        found.append(
            (entry.name.rstrip(b"/"), entry.kind, entry.mode, entry.uid, entry.gid, entry.size,
             entry.mtime_ns, entry.linkname, entry.xattrs, content)
        )  # fmt: skip
    return found


@given(st.lists(members(), max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_again(items: list[tuple[Entry, bytes]]) -> None:
    wanted = [
        (e.name.rstrip(b"/"), e.kind, e.mode, e.uid, e.gid, e.size, e.mtime_ns, e.linkname, e.xattrs, content)
        for e, content in items
    ]
    assert facts(written(items)) == wanted


@given(st.lists(members(), max_size=4))
@settings(max_examples=40, deadline=None)
def test_tarfile_reads_what_we_write(items: list[tuple[Entry, bytes]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(written(items)), errors="surrogateescape") as archive:
        for (entry, content), member in zip(items, archive, strict=True):
            assert member.name.encode("utf-8", "surrogateescape").rstrip(b"/") == entry.name.rstrip(b"/")
            assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
            if entry.kind == REGULAR:
                file = archive.extractfile(member)
                assert file is not None and file.read() == content


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(
    parts=st.lists(st.text("abcdé", min_size=1, max_size=40), min_size=1, max_size=3),
    uid=st.integers(0, 2_000_000),
    content=st.binary(max_size=2000),
)
@settings(max_examples=25, deadline=None)
def test_we_read_what_tarfile_writes(form: int, parts: list[str], uid: int, content: bytes) -> None:
    stream = io.BytesIO()
    info = tarfile.TarInfo("/".join(parts))
    info.size, info.uid, info.mtime = len(content), uid, 1_700_000_000
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        archive.addfile(info, io.BytesIO(content))
    (found,) = facts(stream.getvalue())
    assert found[0] == info.name.encode() and found[3] == uid and found[-1] == content
    assert found[6] == 1_700_000_000 * 10**9


@pytest.mark.parametrize("length", [99, 100, 101, 255, 256, 1000, 4000])
def test_names_up_to_four_thousand_bytes(length: int) -> None:
    name = (b"d" * 50 + b"/") * 80
    name = name[: length - 1].rstrip(b"/").ljust(length, b"f")
    ((found, *_),) = facts(written([(Entry(name), b"")]))
    assert found == name


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax:0.0", "pax:0.1", "pax:1.0"])
def test_sparse_files_of_gnu_tar(form: str, tmp_path: Path) -> None:
    wanted = {}
    with open(tmp_path / "holes", "wb") as file:
        for offset in range(0, 40 << 20, 1 << 20):
            file.seek(offset)
            file.write(b"%08d" % offset)
            wanted[offset] = b"%08d" % offset
        file.truncate(50 << 20)
    kind, _, version = form.partition(":")
    option = [f"--format={kind}", *([f"--sparse-version={version}"] if version else [])]
    data = subprocess.run(
        ["tar", "-cS", *option, "-C", tmp_path, "holes"], capture_output=True, check=True
    ).stdout
    reader = Reader(io.BytesIO(data))
    entry = reader.next()
    assert entry is not None and entry.sparse is not None
    assert (entry.name, entry.size) == (b"holes", 50 << 20)
    content = b""
    while piece := reader.piece():
        content += piece
    at = 0
    rebuilt = bytearray(entry.size)
    for offset, length in entry.sparse:
        rebuilt[offset : offset + length] = content[at : at + length]
        at += length
    assert all(rebuilt[offset : offset + 8] == text for offset, text in wanted.items())
    assert reader.next() is None


def test_cut_off_at_every_block_is_an_error_or_a_shorter_archive() -> None:
    """A cut between members cannot be seen in a tar; everywhere else the error names the offset."""
    items = [(Entry(b"long/" * 60 + b"%d" % n, size=1500), b"x" * 1500) for n in range(3)]
    data = written(items)
    whole = facts(data)
    errors = 0
    for cut in range(0, len(data) - 1024, 512):
        try:
            found = facts(data[:cut])
        except BadArchive as error:
            assert "offset" in str(error)
            errors += 1
        else:
            assert found == whole[: len(found)]
    assert errors > 10


@pytest.mark.parametrize("cut", [1, 511, 513, 700])
def test_cut_off_inside_a_block(cut: int) -> None:
    with pytest.raises(BadArchive, match="unexpected end of the archive"):
        facts(written([(Entry(b"a", size=600), b"x" * 600)])[:cut])


def test_nonsense_is_named() -> None:
    with pytest.raises(BadArchive, match="offset 0: this is not a tar header"):
        facts(b"nonsense" * 200)


def test_a_pax_header_of_a_gigabyte_is_refused_at_its_header() -> None:
    data = bytearray(written([(Entry(b"n" * 300), b"")]))
    block = bytearray(data[:512])
    block[124:136] = b"%011o\0" % (1 << 30)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(BadArchive, match="1073741824 bytes is more than the limit"):
        facts(bytes(block))


@given(st.binary(max_size=3000), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_no_bytes_raise_anything_but_bad_archive(noise: bytes, where: int) -> None:
    data = written([(Entry(b"p" * 200, xattrs={b"user.x": b"1"}, size=5), b"hello")])
    at = where * 512
    try:
        facts(data[:at] + noise + data[at + len(noise) :])
    except BadArchive:
        pass


def test_gnu_tar_unpacks_what_we_write() -> None:
    holes_entry = Entry(b"holes", size=3 << 20, sparse=[(1 << 20, 3)])
    items = [(Entry(b"d" * 120 + b"/\xff\xfe", size=3), b"abc"), (holes_entry, b"xyz")]
    with tempfile.TemporaryDirectory() as target:
        subprocess.run(["tar", "-xf", "-", "-C", target], input=written(items), check=True)
        assert Path(target, "d" * 120, "\udcff\udcfe").read_bytes() == b"abc"
        holes = Path(target, "holes").read_bytes()
        assert len(holes) == 3 << 20 and holes[1 << 20 : (1 << 20) + 4] == b"xyz\0"

"""Any archive at all, unpacked and packed again: it stays inside, fails by name, and comes back the same."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onggi.errors import OnggiError
from onggi.images.apply import apply, extract
from onggi.images.pack import pack

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

PARTS = st.sampled_from(
    ["a", "b", "c", "dir", "..", ".", "", ".wh.a", ".wh.dir", ".wh..wh..opq", "\u00e9", "x" * 90]
)
NAMES = st.builds(
    lambda slash, parts: ("/" if slash else "") + "/".join(parts),
    st.booleans(),
    st.lists(PARTS, min_size=1, max_size=4),
)
TARGETS = st.one_of(
    NAMES, st.sampled_from(["/", "/etc/passwd", "../../../../outside", "../outside/kept", "."])
)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(KINDS)
    content = draw(st.binary(max_size=700)) if info.type == tarfile.REGTYPE else b""
    info.size = len(content)
    info.mode = draw(st.sampled_from([0o644, 0o755, 0o4755, 0o1777, 0, 0o700]))
    info.uid, info.gid = draw(st.sampled_from([0, 1, 1000, 65534])), draw(st.sampled_from([0, 1, 1000]))
    info.mtime = draw(st.integers(0, 2**31))
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(TARGETS)
    if info.type == tarfile.CHRTYPE:
        info.devmajor, info.devminor = draw(st.sampled_from([(0, 0), (1, 3), (5, 1)]))
    return info, content


ARCHIVES = st.lists(members(), max_size=12)


def written(items: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in items:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@contextmanager
def place() -> Iterator[tuple[Path, Path]]:
    """(a directory to unpack into, what lies beside it and must not change)."""
    with tempfile.TemporaryDirectory() as top:
        inside, outside = Path(top, "deep", "inside"), Path(top, "outside")
        inside.mkdir(parents=True)
        outside.mkdir()
        (outside / "kept").write_text("as it was")
        yield inside, outside


def seen(top: Path) -> list[tuple[str, int, int, str]]:
    """Every name below, with its mode, size and content."""
    found = []
    for directory, names, files in os.walk(top):
        for name in sorted([*names, *files]):
            path = Path(directory, name)
            status = path.lstat()
            content = path.read_text() if stat.S_ISREG(status.st_mode) else ""
            found.append((str(path.relative_to(top)), status.st_mode, status.st_mtime_ns, content))
    return found


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def packed(path: Path) -> bytes:
    out = io.BytesIO()
    with opened(path) as fd:
        pack(fd, out)
    return out.getvalue()


def unpacked(data: bytes, path: Path) -> None:
    with opened(path) as fd:
        extract(io.BytesIO(data), fd, own_root=True)


@given(ARCHIVES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_nothing_outside_is_touched(items: list[tuple[tarfile.TarInfo, bytes]], overlay: bool) -> None:
    with place() as (inside, outside):
        before = seen(outside), sorted(os.listdir(inside.parent)), sorted(os.listdir(inside.parent.parent))
        with opened(inside) as fd:
            try:
                apply(io.BytesIO(written(items)), fd, whiteouts="overlay" if overlay else "delete")
            except OnggiError as error:
                assert error.message
        assert before == (
            seen(outside),
            sorted(os.listdir(inside.parent)),
            sorted(os.listdir(inside.parent.parent)),
        )


@given(ARCHIVES)
@settings(max_examples=120, deadline=None)
def test_what_was_unpacked_packs_to_the_same_bytes(items: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Whatever an archive made, its tree goes out and in again without a change: equal trees, equal bytes."""
    with place() as (inside, outside), opened(inside) as fd:
        try:
            apply(io.BytesIO(written(items)), fd, whiteouts="delete")
        except OnggiError:
            return
        first = packed(inside)
        again = outside / "again"
        again.mkdir()
        unpacked(first, again)
        assert packed(again) == first


@given(ARCHIVES)
@settings(max_examples=25, deadline=None)
def test_gnu_tar_unpacks_the_same_tree(items: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with place() as (inside, outside), opened(inside) as fd:
        try:
            apply(io.BytesIO(written(items)), fd, whiteouts="delete")
        except OnggiError:
            return
        first = packed(inside)
        again = outside / "again"
        again.mkdir()
        subprocess.run(
            ["tar", "-x", "--same-owner", "--same-permissions", "--xattrs", "-C", str(again)],
            input=first,
            check=True,
            capture_output=True,
        )
        assert packed(again) == first


@given(ARCHIVES, st.integers(0, 5000))
@settings(max_examples=120, deadline=None)
def test_cut_off_anywhere(items: list[tuple[tarfile.TarInfo, bytes]], cut: int) -> None:
    """An archive that ends early is an error or a shorter one, and nothing outside is touched."""
    with place() as (inside, outside):
        before = seen(outside)
        with opened(inside) as fd:
            try:
                apply(io.BytesIO(written(items)[:cut]), fd, whiteouts="overlay")
            except OnggiError as error:
                assert error.message
        assert seen(outside) == before

"""Copying in and out of a root, the view of a stopped container, Docker's diff, users, the embedded image."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.errors import Forbidden, InvalidParameter, NotFound
from onggi.images import archive, hello, view
from onggi.images.changes import overlay_changes
from onggi.kernel import mounts
from onggi.kernel.files import openat2
from onggi.spawn import plan

pytestmark = pytest.mark.root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    top = tmp_path / "root"
    (top / "etc" / "sub").mkdir(parents=True)
    (top / "etc" / "file").write_text("text")
    (top / "link").symlink_to("/etc/sub")
    (top / "out").symlink_to(f"../..{tmp_path}/secret")
    (tmp_path / "secret").write_text("host")
    (top / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nanna:x:7:8::/home/anna:\n")
    (top / "etc" / "group").write_text("root:x:0:\nwheel:x:9:anna,root\n")
    fd = os.open(top, os.O_PATH)
    yield fd, top
    os.close(fd)


def names(data: io.BytesIO) -> list[str]:
    data.seek(0)
    with tarfile.open(fileobj=data) as opened:
        return opened.getnames()


def tar(name: str, content: bytes) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as made:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        made.addfile(info, io.BytesIO(content))
    stream.seek(0)
    return stream


def test_stat_has_go_modes_and_link_targets(root: tuple[int, Path]) -> None:
    fd, _ = root
    facts = archive.stat(fd, "/link", container="c")
    document = json.loads(base64.b64decode(facts.header()))
    assert (document["name"], document["linkTarget"]) == ("link", "/etc/sub")
    assert document["mode"] & 1 << 27
    assert archive.stat(fd, "/link/.", container="c").mode & 1 << 31
    with pytest.raises(NotFound, match="Could not find the file /no in container c"):
        archive.stat(fd, "/no", container="c")
    with pytest.raises(NotFound):
        archive.stat(fd, "/out/", container="c")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("/etc/file", ["file"]), ("etc", ["etc", "etc/file"]), ("/etc/.", [".", "./file"]), ("/link", ["link"])],
)
def test_get_names_members_after_the_path(path: str, wanted: list[str], root: tuple[int, Path]) -> None:
    stream = io.BytesIO()
    archive.get(root[0], path, stream, container="c")
    assert set(wanted) <= set(names(stream))


def test_put_follows_the_last_link_inside_the_root(root: tuple[int, Path]) -> None:
    fd, top = root
    archive.put(fd, "/link", tar("new", b"1"), container="c", owner=(5, 6))
    made = top / "etc" / "sub" / "new"
    assert made.read_bytes() == b"1" and (made.stat().st_uid, made.stat().st_gid) == (5, 6)
    with pytest.raises(InvalidParameter, match="extraction point is not a directory"):
        archive.put(fd, "/etc/file", tar("x", b"1"), container="c")
    with pytest.raises(Forbidden, match="container rootfs is marked read-only"):
        archive.put(fd, "/etc", tar("x", b"1"), container="c", read_only_root=True)


def test_a_view_of_a_stopped_container_shows_its_volumes_and_leaves_no_mount(tmp_path: Path) -> None:
    for name in ("low", "up", "work", "volume"):
        (tmp_path / name).mkdir()
    (tmp_path / "low" / "old").write_text("old")
    (tmp_path / "low" / "gone").write_text("old")
    (tmp_path / "volume" / "data").write_text("kept")
    data = f"lowerdir={tmp_path}/low,upperdir={tmp_path}/up,workdir={tmp_path}/work"
    volume = plan.mount(f"{tmp_path}/volume", "/v", "bind", mounts.MS_BIND | mounts.MS_RDONLY)
    fd = view.open_root([plan.mount("overlay", "/", "overlay", 0, data)], [(volume, ())])
    try:
        inside = openat2(fd, "v/data", os.O_RDONLY)
        assert os.read(inside, 10) == b"kept"
        os.close(inside)
        with pytest.raises(Forbidden, match="mounted volume is marked read-only"):
            archive.put(fd, "/v", tar("x", b"1"), container="c")
        archive.put(fd, "/", tar("new", b"1"), container="c")
        os.unlink(f"/proc/self/fd/{fd}/gone")
    finally:
        os.close(fd)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()  # others' mounts come and go
    upper, lower = (os.open(tmp_path / name, os.O_RDONLY) for name in ("up", "low"))
    try:
        found = [(change.kind.letter, change.path) for change in overlay_changes(upper, [lower])]
    finally:
        os.close(upper)
        os.close(lower)
    assert found == [("D", b"/gone"), ("A", b"/new"), ("A", b"/v")]


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ("", (0, 0, (9,), "/root")),
        ("anna", (7, 8, (9,), "/home/anna")),
        ("7", (7, 8, (9,), "/home/anna")),
        ("12", (12, 0, (), "/")),
        ("anna:wheel", (7, 9, (), "/home/anna")),
        ("12:34", (12, 34, (), "/")),
    ],
)
def test_users_by_the_files_of_the_root(
    user: str, wanted: tuple[int, int, tuple[int, ...], str], root: tuple[int, Path]
) -> None:
    account = view.resolve_user(root[0], user)
    assert (account.uid, account.gid, account.groups, account.home) == wanted


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("x", "unable to find user x: no matching entries in passwd file"),
        ("anna:x", "unable to find group x: no matching entries in group file"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_unknown_users_in_dockers_words(user: str, message: str, root: tuple[int, Path]) -> None:
    with pytest.raises(InvalidParameter, match=message):
        view.resolve_user(root[0], user)


def test_the_embedded_program_runs(tmp_path: Path) -> None:
    assert hello.build() == hello.build()
    program = tmp_path / "hello"
    program.write_bytes((hello.amd64 if os.uname().machine == "x86_64" else hello.arm64)(hello.TEXT.encode()))
    program.chmod(0o755)
    done = subprocess.run([program], capture_output=True, check=True)
    assert done.stdout.decode() == hello.TEXT

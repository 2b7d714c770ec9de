"""Containers that turn a directory into a link and back while others mount or copy what is below it.

CVE-2021-30465 (a volume's mount point), CVE-2021-25741 and CVE-2023-2728 (a subpath), CVE-2018-15664 (`cp`): each
was a name that was looked up twice. Who exchanges names does so in a loop, with renameat2(2) where busybox has none.
Not one round may show the host's secret; that rounds go both ways is what shows that the race was run.
"""
# ruff: noqa: E501 (scripts)

from __future__ import annotations

import ctypes
import http.client
import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.slow]
ROUNDS = 40


_LIBC = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2  # renameat2(2), RENAME_EXCHANGE


@contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """Another thread exchanges two names as fast as it can, as a hostile container would in its volume."""
    end = threading.Event()

    def loop() -> None:
        fd = os.open(one.parent, os.O_RDONLY | os.O_DIRECTORY)
        while not end.is_set():
            _LIBC.renameat2(fd, one.name.encode(), fd, other.name.encode(), EXCHANGE)
        os.close(fd)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def rounds(both: Callable[[], bool]) -> Iterator[None]:
    """At least ROUNDS, and on until they have gone both ways: whoever exchanges may not run for a while."""
    deadline = time.monotonic() + 60
    number = 0
    while number < ROUNDS or (not both() and time.monotonic() < deadline):
        number += 1
        yield


@pytest.fixture
def trap(engine: Engine, tmp_path: Path) -> Iterator[Path]:
    """The volume `race` with a directory `door` and a link `lure` that leads to the host's secret."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("host's\n")
    engine.onggi("volume", "create", "race")
    place = Path(engine.api("GET", "/volumes/race")["Mountpoint"])
    (place / "door").mkdir()
    (place / "door" / "file").write_text("volume's\n")
    (place / "lure").symlink_to(tmp_path / "secret")
    yield place
    engine.remove_all()
    engine.onggi("volume", "rm", "race")


def test_a_subpath_that_is_exchanged_for_a_link(engine: Engine, trap: Path) -> None:
    mount = "type=volume,src=race,dst=/in,volume-subpath=door"
    seen = set()
    with exchanging(trap / "door", trap / "lure"):
        for _ in rounds(lambda: len(seen) == 2):
            done = engine.run("onggi", "run", "--rm", "--network", "none", "--mount", mount, BUSYBOX,
                              "cat", "/in/file", check=False)  # fmt: skip
            assert "host's" not in done.stdout + done.stderr
            seen.add(done.stdout)
    assert seen == {"volume's\n", ""}


def test_a_mount_point_in_a_volume_that_is_exchanged_for_a_link(
    engine: Engine, trap: Path, tmp_path: Path
) -> None:
    """CVE-2021-30465: a second mount lies below a shared volume; its place is the volume's, and was a link once."""
    flags = ("-v", "race:/v", "--mount", "type=tmpfs,dst=/v/door/deep")
    with exchanging(trap / "door", trap / "lure"):
        for _ in range(ROUNDS):
            engine.run("onggi", "run", "--rm", "--network", "none", *flags, BUSYBOX, "true", check=False)
    assert os.listdir(tmp_path / "secret") == ["file"], "a mount point was made on the host"
    with open("/proc/self/mountinfo") as file:
        assert not [line for line in file if str(tmp_path) in line]


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("written")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"inside"))
    return out.getvalue()


@pytest.mark.parametrize("running", [True, False], ids=["running", "created"])
def test_cp_through_a_directory_that_is_exchanged_for_a_link(
    engine: Engine, trap: Path, tmp_path: Path, running: bool
) -> None:
    engine.onggi("run" if running else "create", *(("-d",) if running else ()), "--name", "victim", "--network", "none",
                 "-v", "race:/v", BUSYBOX, "sleep", "1000")  # fmt: skip
    body, statuses = archive(), set()
    with exchanging(trap / "door", trap / "lure"):
        for _ in rounds(lambda: {200, 404} <= statuses):
            try:
                status, text = engine.request("GET", "/containers/victim/archive?path=/v/door/file")
            except http.client.IncompleteRead as cut:  # it was exchanged after the answer had begun
                status, text = 500, cut.partial
            assert b"host's" not in text
            statuses.add(status)
            engine.request("PUT", "/containers/victim/archive?path=/v/door", body)
            engine.request("HEAD", "/containers/victim/archive?path=/v/door/file")
    assert {200, 404} <= statuses <= {200, 404, 500}
    assert os.listdir(tmp_path / "secret") == ["file"]
    assert (tmp_path / "secret" / "file").read_text() == "host's\n"


def test_a_clone_and_an_export_of_a_volume_in_motion(engine: Engine, trap: Path) -> None:
    """What is in a volume changes while it is copied: the copy has what is the volume's, or nothing of it."""
    for number in range(50):
        (trap / "door" / f"more{number}").write_text("volume's\n")
    with exchanging(trap / "door", trap / "lure"):
        for number in range(ROUNDS // 2):
            saved = engine.request("GET", "/volumes/race/export")[1]
            assert b"host's" not in saved
            status, text = engine.request("POST", f"/volumes/race/clone?name=copy{number}")
            if status == 201:
                place = Path(engine.api("GET", f"/volumes/copy{number}")["Mountpoint"])
                for path in (place / "door", place / "lure"):
                    if path.is_dir() and not path.is_symlink():
                        assert (path / "file").read_text() == "volume's\n"
                engine.onggi("volume", "rm", f"copy{number}")
            else:
                assert b"message" in text
                assert engine.request("GET", f"/volumes/copy{number}")[0] == 404


def empty(trap: Path) -> None:
    """Take out what the image brought; by descriptors, which do not lead astray as a name would."""
    for name in ("door", "lure"):
        try:
            fd = os.open(trap / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except NotADirectoryError:  # the link, at this moment
            continue
        with suppress(FileNotFoundError):
            os.rmdir("app", dir_fd=fd)
        os.close(fd)


def test_copy_up_into_a_subpath_that_is_exchanged_for_a_link(
    engine: Engine, trap: Path, tmp_path: Path
) -> None:
    """An empty subpath is filled from the image: into the volume, never through the link."""
    (tmp_path / "secret" / "file").unlink()
    (trap / "door" / "file").unlink()
    mount = "type=volume,src=race,dst=/home,volume-subpath=door"
    with exchanging(trap / "door", trap / "lure"):
        for _ in range(ROUNDS):
            engine.run(
                "onggi", "run", "--rm", "--network", "none", "--mount", mount, BUSYBOX, "true", check=False
            )
            empty(trap)
    assert os.listdir(tmp_path / "secret") == []

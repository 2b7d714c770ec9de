"""Overlay by one page of options, as kernels before 6.5 need it; run in a mount namespace of a child."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from onggi.kernel import mounts, namespaces, processes
from onggi.spawn import inside, overlay

pytestmark = pytest.mark.root


def test_the_old_way_gives_a_detached_overlay(tmp_path: Path) -> None:
    for name in ("a", "b:c", "upper", "work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in-{name[0]}").touch()
    os.unlink(tmp_path / "work/in-w")
    pid, pidfd = namespaces.clone(namespaces.CLONE_NEWNS)
    if pid == 0:
        code = 1
        try:
            mounts.mount(None, "/", None, mounts.MS_PRIVATE | mounts.MS_REC)
            os.chdir(tmp_path)
            options: list[tuple[str, str | None]] = [("upperdir", "upper"), ("workdir", "work")]
            fd = overlay._by_page("overlay", ["a", "b:c"], options, mounts.MOUNT_ATTR_NOSUID)
            found = inside.find(fd, "/", os.O_RDONLY)
            code = 0 if set(os.listdir(found)) == {"in-a", "in-b", "in-u"} else 2
            code = code or (0 if sorted(os.listdir(".")) == ["a", "b:c", "upper", "work"] else 3)
        finally:
            os._exit(code)
    assert processes.wait_pidfd(pidfd) == 0
    os.close(pidfd)


def test_the_old_way_in_a_thread_that_stands_elsewhere(tmp_path: Path) -> None:
    """As the engine looks into containers: mounts and directory are the thread's own, not the process's."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in-{name}").touch()
    here, found = os.getcwd(), []

    def work() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_PRIVATE | mounts.MS_REC)
        os.chdir(tmp_path)
        fd = overlay._by_page("overlay", ["a", "b"], [], mounts.MOUNT_ATTR_RDONLY)
        found.extend(os.listdir(inside.find(fd, "/", os.O_RDONLY)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert sorted(found) == ["in-a", "in-b"]
    assert os.getcwd() == here

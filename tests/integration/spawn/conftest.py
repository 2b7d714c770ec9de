"""Real containers on a busybox root; nothing of them is left behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.integration.spawn.busybox_containers import BUSYBOX, Runner


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.path.exists(BUSYBOX) or os.geteuid() != 0:
        pytest.skip("needs root and busybox-static")
    root = tmp_path_factory.mktemp("busybox") / "rootfs"
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in ("sh", "true", "cat", "id", "ls", "stat", "mount", "sleep", "grep", "hostname", "readlink", "touch", "tty", "env", "pwd", "mkdir", "ulimit", "dmesg", "echo", "wc", "ip", "nproc", "uname", "kill", "test"):  # fmt: skip  # noqa: E501
        (root / "bin" / name).symlink_to("busybox")
    return root


@pytest.fixture
def run(tmp_path: Path, busybox_root: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def root(busybox_root: Path, tmp_path: Path) -> Path:
    """A root of the test's own, sharing busybox."""
    copy = tmp_path / "rootfs"
    shutil.copytree(busybox_root, copy, symlinks=True)
    return copy

"""Room for the CVE tests: a directory that other users may enter, and no cgroup left behind."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def room() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="og", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
    for parent in [*Path("/sys/fs/cgroup").glob("*/onggi-cve"), *Path("/sys/fs/cgroup").glob("onggi-cve")]:
        assert not [child for child in parent.iterdir() if child.is_dir()]
        with contextlib.suppress(OSError):
            parent.rmdir()

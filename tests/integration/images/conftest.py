"""An image store of its own for each test, on each snapshotter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.images import collect
from onggi.images.images import Images
from onggi.paths import Paths
from onggi.store.database import Database


@pytest.fixture(params=["overlay2", "vfs"])
def images(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Images]:
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(paths.root)
    with Database(paths.database) as database:
        found = Images(paths, database, driver=request.param)
        collect.recover(found)
        yield found
        found.workers.close()

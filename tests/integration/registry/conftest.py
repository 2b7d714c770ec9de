"""What tests of hostile registries ask for: a store, and a registry that does as it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.images import collect
from onggi.images.images import Images
from onggi.paths import Paths
from onggi.store.database import Database
from tests.registries import SMALL
from tests.scripted_registry import Scripted, scripted


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(paths.root)
    with Database(paths.database) as database:
        found = Images(paths, database)
        collect.recover(found)
        yield found


@pytest.fixture
def registry() -> Iterator[Scripted]:
    with scripted() as one:
        one.serve("a/b", SMALL, "1")
        yield one

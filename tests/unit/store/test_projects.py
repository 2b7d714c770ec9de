"""Project ids of quotas: one for each owner, none that somebody has, round again at the pool's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from onggi.errors import Unavailable
from onggi.store import projects
from onggi.store.database import Database

POOL = range(100, 104)


def never(_: int) -> bool:
    return False


def test_ids_are_given_in_turn_and_taken_back(tmp_path: Path) -> None:
    with Database(str(tmp_path / "db")) as database:
        assert [projects.take(database, owner, 1, POOL, never).id for owner in "ab"] == [100, 101]
        assert projects.take(database, "a", 7, POOL, never) == projects.Project(100, 7)  # a new limit
        projects.give_back(database, "a")
        assert [projects.take(database, owner, 1, POOL, never).id for owner in "cde"] == [102, 103, 100]
        with pytest.raises(Unavailable):
            projects.take(database, "f", 1, POOL, never)
        projects.rename(database, "b", "volume/b")
        assert set(projects.all_(database)) == {"volume/b", "c", "d", "e"}


def test_what_the_file_system_knows_is_left_alone(tmp_path: Path) -> None:
    with Database(str(tmp_path / "db")) as database:
        assert projects.take(database, "a", 1, POOL, lambda number: number < 102).id == 102
        with pytest.raises(Unavailable):
            projects.take(database, "b", 1, POOL, lambda number: True)


def test_a_snapshot_has_its_containers_project(tmp_path: Path) -> None:
    with Database(str(tmp_path / "db")) as database:
        projects.take(database, "a" * 64, 1, POOL, never)
        assert projects.of_snapshot(database, "a" * 64) == 100
        assert projects.of_snapshot(database, f"{'a' * 64}-mount-1") == 100
        assert projects.of_snapshot(database, "sha256:b") == 0

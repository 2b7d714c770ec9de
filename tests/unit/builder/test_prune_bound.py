"""How much of the build cache a prune leaves, by what is asked for and what the disk has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onggi.builder.cache.prune import Keep, _bound


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Keep(), -1),  # no bound: all goes
        (Keep(used_bytes=40), 40),
        (Keep(reserved_bytes=30), 30),
        (Keep(used_bytes=40, reserved_bytes=60), 60),
    ],
)
def test_bounds_of_the_cache(tmp_path: Path, keep: Keep, left: int) -> None:
    assert _bound(keep, 100, str(tmp_path)) == left


def test_bounds_by_what_is_free(tmp_path: Path) -> None:
    facts = os.statvfs(tmp_path)
    free = facts.f_bavail * facts.f_frsize
    room = 1 << 30  # others write to this disk, too
    assert (
        _bound(Keep(free_bytes=max(1, free - room)), 100, str(tmp_path)) == 100
    )  # there is enough: none goes
    assert _bound(Keep(free_bytes=free + room), 100, str(tmp_path)) == 0
    assert _bound(Keep(free_bytes=free + room, reserved_bytes=25), 100, str(tmp_path)) == 25
    assert 0 < _bound(Keep(free_bytes=free + room), 4 * room, str(tmp_path)) < 4 * room

"""Rows of id ranges: which ids of the host a container has for itself.

A range is free where no row has a part of it. The next one begins behind the last that was given, so that
files which a removed container left on the host do not soon become another's.
"""

from __future__ import annotations

from onggi.errors import Conflict, Unavailable
from onggi.store.database import Database

LAST = "id-range"  # key of `state`: where the last range ended


def take(
    database: Database, owner: str, size: int, pool: list[tuple[int, int]], taken: list[tuple[int, int]]
) -> int:
    """The first id of a new range of `owner`. `pool` and `taken` (others' ranges) are (first, end) of ids.

    Raises Unavailable where there is none, Conflict where the owner has one already.
    """
    with database.transaction():
        if database.one("SELECT 1 FROM id_ranges WHERE owner = ?", owner):
            raise Conflict(f"{owner} has a range of ids already")
        rows = database.read("SELECT first, first + count FROM id_ranges")
        used = sorted([*taken, *((int(first), int(end)) for first, end in rows)])
        last = database.one("SELECT value FROM state WHERE key = ?", LAST)
        begin = int(last[0]) if last else 0
        first = _fit(size, pool, used, begin)
        if first is None and begin:
            first = _fit(size, pool, used, 0)
        if first is None:
            raise Unavailable(f"no {size} ids are left for user namespaces of containers")
        database.write("INSERT INTO id_ranges VALUES (?, ?, ?)", owner, first, size)
        database.write("INSERT OR REPLACE INTO state VALUES (?, ?)", LAST, first + size)
    return first


def _fit(size: int, pool: list[tuple[int, int]], used: list[tuple[int, int]], begin: int) -> int | None:
    for low, high in pool:
        at = max(low, begin)
        for first, end in used:
            if first < at + size and end > at:
                at = max(at, end)
        if at + size <= high:
            return at
    return None


def give_back(database: Database, owner: str) -> None:
    """Free a range; none is no fault."""
    database.write("DELETE FROM id_ranges WHERE owner = ?", owner)


def owners(database: Database) -> dict[str, tuple[int, int]]:
    """(first id, how many) by owner."""
    return {
        row[0]: (int(row[1]), int(row[2]))
        for row in database.read("SELECT owner, first, count FROM id_ranges")
    }

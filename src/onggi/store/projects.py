"""Rows of project quotas: who has which project id of the file system, and how much it may take.

An owner is a container's id, or `volume/NAME`. Not here: what the file system is told (engine/quotas.py).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from onggi.errors import Unavailable
from onggi.store.database import Database

LAST = "project"  # key of `state`: the id that was given last


class Project(msgspec.Struct, frozen=True):
    id: int
    bytes: int  # the hard limit


def take(
    database: Database, owner: str, size_bytes: int, pool: range, used: Callable[[int], bool]
) -> Project:
    """A project for an owner, who may have it already: then with this limit.

    `used` says of an id whether the file system knows it, as another program's. Raises Unavailable.
    """
    with database.transaction():
        row = database.one("SELECT id FROM projects WHERE owner = ?", owner)
        if row is not None:
            database.write("UPDATE projects SET bytes = ? WHERE owner = ?", size_bytes, owner)
            return Project(int(row[0]), size_bytes)
        last = database.one("SELECT value FROM state WHERE key = ?", LAST)
        begin = int(last[0]) + 1 - pool.start if last else 0
        given = {int(found) for (found,) in database.read("SELECT id FROM projects")}
        for position in range(len(pool)):
            number = pool[(begin + position) % len(pool)]
            if number not in given and not used(number):
                break
        else:
            raise Unavailable("no project id is left for quotas")
        database.write("INSERT INTO projects VALUES (?, ?, ?)", owner, number, size_bytes)
        database.write("INSERT OR REPLACE INTO state VALUES (?, ?)", LAST, number)
    return Project(number, size_bytes)


def give_back(database: Database, owner: str) -> None:
    """Free an id; none is no fault."""
    database.write("DELETE FROM projects WHERE owner = ?", owner)


def rename(database: Database, owner: str, new: str) -> None:
    """Another owner's from now on; none is no fault."""
    database.write("UPDATE projects SET owner = ? WHERE owner = ?", new, owner)


def of_snapshot(database: Database, key: str) -> int:
    """The project id of a container's snapshot, whose key begins with the container's id; 0 is none."""
    row = database.one("SELECT id FROM projects WHERE owner = ?", key.partition("-")[0])
    return int(row[0]) if row else 0


def all_(database: Database) -> dict[str, Project]:
    """Every project, by owner."""
    rows = database.read("SELECT owner, id, bytes FROM projects")
    return {owner: Project(int(number), int(size)) for owner, number, size in rows}

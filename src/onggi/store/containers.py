"""Rows of containers. A record is the engine's JSON (engine/record.py), kept here as bytes.

Names are stored without the leading slash that Docker's JSON shows.
"""

from __future__ import annotations

import sqlite3

import msgspec

from onggi.errors import Conflict, InvalidParameter, NoSuchContainer
from onggi.store.database import Database

COLUMNS = "id, name, status, image_id, created_at, record"


class ContainerRow(msgspec.Struct, frozen=True):
    """created_at is in nanoseconds since 1970."""

    id: str
    name: str
    status: str
    image_id: str
    created_at: int
    record: bytes


def insert(database: Database, row: ContainerRow) -> None:
    """Add a container. Raises Conflict when the name is taken."""
    try:
        database.write(
            f"INSERT INTO containers ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            row.id, row.name, row.status, row.image_id, row.created_at, row.record,
        )  # fmt: skip
    except sqlite3.IntegrityError:
        raise _name_taken(database, row.name) from None


def update(database: Database, container_id: str, *, status: str, record: bytes) -> None:
    """Replace status and record. Raises NoSuchContainer."""
    sql = "UPDATE containers SET status = ?, record = ? WHERE id = ?"
    if not database.write(sql, status, record, container_id):
        raise NoSuchContainer(container_id)


def rename(database: Database, container_id: str, name: str, record: bytes) -> None:
    """Give another name. Raises Conflict, NoSuchContainer."""
    try:
        changed = database.write(
            "UPDATE containers SET name = ?, record = ? WHERE id = ?", name, record, container_id
        )
    except sqlite3.IntegrityError:
        raise _name_taken(database, name) from None
    if not changed:
        raise NoSuchContainer(container_id)


def delete(database: Database, container_id: str) -> None:
    """Forget a container; a row that is gone already is no fault (remove is repeatable after a crash)."""
    database.write("DELETE FROM containers WHERE id = ?", container_id)


def get(database: Database, container_id: str) -> ContainerRow:
    """By full id. Raises NoSuchContainer."""
    row = database.one(f"SELECT {COLUMNS} FROM containers WHERE id = ?", container_id)
    if row is None:
        raise NoSuchContainer(container_id)
    return ContainerRow(*row)


def by_name(database: Database, name: str) -> ContainerRow | None:
    """By exact name, without the slash."""
    row = database.one(f"SELECT {COLUMNS} FROM containers WHERE name = ?", name)
    return ContainerRow(*row) if row else None


def list_(database: Database) -> list[ContainerRow]:
    """All containers, newest first."""
    rows = database.read(f"SELECT {COLUMNS} FROM containers ORDER BY created_at DESC, id")
    return [ContainerRow(*row) for row in rows]


def using_image(database: Database, image_id: str) -> list[ContainerRow]:
    """The containers made from an image, oldest first."""
    rows = database.read(
        f"SELECT {COLUMNS} FROM containers WHERE image_id = ? ORDER BY created_at, id", image_id
    )
    return [ContainerRow(*row) for row in rows]


def resolve(database: Database, reference: str) -> str:
    """The full id for what a user wrote: full id, then name, then a prefix of one id, in Docker's order.

    Raises NoSuchContainer, and InvalidParameter for an empty reference or a prefix of several ids.
    """
    if not reference:
        raise InvalidParameter("No container name or ID supplied")
    name = reference.removeprefix("/")
    exact = database.one(
        "SELECT id FROM containers WHERE id = ?1 OR name = ?2 ORDER BY id = ?1 DESC LIMIT 1", reference, name
    )
    if exact is not None:
        return str(exact[0])
    found = database.read(
        "SELECT id FROM containers WHERE id >= ? AND id < ? LIMIT 2", reference, reference + "\U0010ffff"
    )
    if len(found) > 1:
        raise InvalidParameter(f"multiple IDs found with provided prefix: {reference}")
    if not found:
        raise NoSuchContainer(reference)
    return str(found[0][0])


def _name_taken(database: Database, name: str) -> Conflict:
    owner = by_name(database, name)
    held_by = owner.id if owner else "unknown"
    return Conflict(
        f'Conflict. The container name "/{name}" is already in use by container "{held_by}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )

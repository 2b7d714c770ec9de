"""Rows of secrets and configs. A record is the engine's JSON; what is secret of it is sealed (sealing.py)."""

from __future__ import annotations

import sqlite3

import msgspec

from onggi.errors import Conflict
from onggi.store.database import Database

COLUMNS = "id, kind, name, record, sealed"


class SecretRow(msgspec.Struct, frozen=True):
    """kind is secret or config; names are unique within one."""

    id: str
    kind: str
    name: str
    record: bytes
    sealed: bytes


def insert(database: Database, row: SecretRow) -> None:
    """Raises Conflict when the name is taken."""
    try:
        database.write(
            f"INSERT INTO secrets ({COLUMNS}) VALUES (?, ?, ?, ?, ?)",
            row.id, row.kind, row.name, row.record, row.sealed,
        )  # fmt: skip
    except sqlite3.IntegrityError:
        raise Conflict(f"{row.kind} {row.name} already exists") from None


def update(database: Database, id: str, record: bytes) -> None:
    database.write("UPDATE secrets SET record = ? WHERE id = ?", record, id)


def delete(database: Database, id: str) -> None:
    """Forget one; a row that is gone already is no fault."""
    database.write("DELETE FROM secrets WHERE id = ?", id)


def sealed(database: Database, id: str) -> bytes | None:
    row = database.one("SELECT sealed FROM secrets WHERE id = ?", id)
    return row[0] if row is not None else None


def records(database: Database, kind: str) -> list[bytes]:
    """Those of a kind, by name."""
    rows = database.read("SELECT record FROM secrets WHERE kind = ? ORDER BY name", kind)
    return [row[0] for row in rows]

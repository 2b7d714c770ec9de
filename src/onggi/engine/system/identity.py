"""The engine's identity: made at the first start, kept in the database."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onggi.store.database import Database


def engine_id(database: Database) -> str:
    """The id of this root's engine, a UUID as text."""
    row = database.one("SELECT value FROM state WHERE key = 'engine-id'")
    if row is None:
        database.write("INSERT OR IGNORE INTO state VALUES ('engine-id', ?)", str(uuid.uuid4()))
        row = database.one("SELECT value FROM state WHERE key = 'engine-id'")
    assert row is not None
    return str(row[0])

"""Rows of volumes. A record is the engine's JSON, kept here as bytes."""

from __future__ import annotations

import sqlite3

import msgspec

from onggi.errors import Conflict, NoSuchVolume
from onggi.store.database import Database

COLUMNS = "name, driver, created_at, record"


class VolumeRow(msgspec.Struct, frozen=True):
    """created_at is in nanoseconds since 1970."""

    name: str
    driver: str
    created_at: int
    record: bytes


def insert(database: Database, row: VolumeRow) -> None:
    """Add a volume. Raises Conflict when the name is taken."""
    try:
        database.write(
            f"INSERT INTO volumes ({COLUMNS}) VALUES (?, ?, ?, ?)",
            row.name, row.driver, row.created_at, row.record,
        )  # fmt: skip
    except sqlite3.IntegrityError:
        raise Conflict(f"A volume named {row.name} already exists") from None


def update(database: Database, name: str, record: bytes) -> None:
    """Replace the record. Raises NoSuchVolume."""
    if not database.write("UPDATE volumes SET record = ? WHERE name = ?", record, name):
        raise NoSuchVolume(name)


def rename(database: Database, name: str, new: str, record: bytes) -> None:
    """Give a row another name. Raises NoSuchVolume, Conflict when the new one is taken."""
    try:
        changed = database.write("UPDATE volumes SET name = ?, record = ? WHERE name = ?", new, record, name)
    except sqlite3.IntegrityError:
        raise Conflict(f"A volume named {new} already exists") from None
    if not changed:
        raise NoSuchVolume(name)


def delete(database: Database, name: str) -> None:
    """Forget a volume; a row that is gone already is no fault."""
    database.write("DELETE FROM volumes WHERE name = ?", name)


def find(database: Database, name: str) -> VolumeRow | None:
    """By exact name; volumes have no ids and no prefixes."""
    row = database.one(f"SELECT {COLUMNS} FROM volumes WHERE name = ?", name)
    return VolumeRow(*row) if row else None


def get(database: Database, name: str) -> VolumeRow:
    """By exact name. Raises NoSuchVolume."""
    row = find(database, name)
    if row is None:
        raise NoSuchVolume(name)
    return row


def list_(database: Database) -> list[VolumeRow]:
    """All volumes, by name."""
    return [VolumeRow(*row) for row in database.read(f"SELECT {COLUMNS} FROM volumes ORDER BY name")]

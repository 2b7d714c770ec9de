"""Rows of images that are mounted for the host's programs: written before the mount, gone after it."""

from __future__ import annotations

import msgspec

from onggi.store.database import Database


class MountRow(msgspec.Struct, frozen=True):
    """`uses` is 0 while the mount is being made; each `mount` adds one, each `unmount` takes one."""

    image_id: str
    uses: int


def put(database: Database, image_id: str, uses: int) -> None:
    database.write("INSERT OR REPLACE INTO image_mounts VALUES (?, ?)", image_id, uses)


def get(database: Database, image_id: str) -> MountRow | None:
    row = database.one("SELECT image_id, uses FROM image_mounts WHERE image_id = ?", image_id)
    return MountRow(*row) if row else None


def list_(database: Database) -> list[MountRow]:
    """All, by id."""
    rows = database.read("SELECT image_id, uses FROM image_mounts ORDER BY image_id")
    return [MountRow(*row) for row in rows]


def delete(database: Database, image_id: str) -> None:
    """Forget; gone already is no fault."""
    database.write("DELETE FROM image_mounts WHERE image_id = ?", image_id)

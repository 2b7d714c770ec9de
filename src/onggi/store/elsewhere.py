"""Rows of packed layers that were dropped: a registry has them, or a recipe gives them again."""

from __future__ import annotations

import msgspec

from onggi.store.database import Database


class ElsewhereRow(msgspec.Struct, frozen=True):
    """`name` is canonical, by digest: an image of which the blob is a layer. Empty: there is a recipe."""

    digest: str
    size: int
    name: str


def put(database: Database, row: ElsewhereRow) -> None:
    database.write("INSERT OR REPLACE INTO elsewhere VALUES (?, ?, ?)", row.digest, row.size, row.name)


def get(database: Database, digest: str) -> ElsewhereRow | None:
    row = database.one("SELECT digest, size, name FROM elsewhere WHERE digest = ?", digest)
    return ElsewhereRow(*row) if row else None


def delete(database: Database, digest: str) -> None:
    """Forget; gone already is no fault."""
    database.write("DELETE FROM elsewhere WHERE digest = ?", digest)


def recipes(database: Database) -> set[str]:
    """The blobs that have one."""
    return {row[0] for row in database.read("SELECT digest FROM elsewhere WHERE name = ''")}


def forget_unneeded(database: Database) -> None:
    """Drop the rows of blobs that nothing needs any more."""
    database.write(
        "DELETE FROM elsewhere WHERE digest NOT IN"
        " (SELECT digest FROM blobs UNION SELECT target FROM roots WHERE kind = 'blob')"
    )

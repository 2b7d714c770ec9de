"""Rows of indexes: which images of one are here, and which documents it needs besides them.

An index is here while a name stands for it (`names.target`); `forget_unnamed` drops the others. Its images
are rows of their own, and outlive it where something else keeps them.
"""

from __future__ import annotations

from onggi.store.database import Database


def add(database: Database, digest: str, *, blobs: list[str], members: dict[str, str]) -> None:
    """`members` are manifests and their images; what is known of the index already stays."""
    with database.transaction():
        for blob in dict.fromkeys(blobs):
            database.write("INSERT OR IGNORE INTO indexes VALUES (?, ?)", digest, blob)
        for manifest, image_id in members.items():
            database.write("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", digest, manifest, image_id)


def members(database: Database, digest: str) -> dict[str, str]:
    """The images of an index that are here: manifest -> image; none for an index that is not known."""
    sql = "SELECT manifest, image_id FROM members WHERE digest = ? ORDER BY manifest"
    return {row[0]: row[1] for row in database.read(sql, digest)}


def known(database: Database, digest: str) -> bool:
    """Whether the index is here."""
    return database.one("SELECT 1 FROM indexes WHERE digest = ?", digest) is not None


def blobs(database: Database, digest: str) -> list[str]:
    """What the index needs besides its images."""
    return [row[0] for row in database.read("SELECT blob FROM indexes WHERE digest = ?", digest)]


def of_blob(database: Database, blob: str) -> dict[str, str]:
    """The indexes that need a blob, each with a name that stands for it."""
    sql = "SELECT i.digest, min(n.name) FROM indexes i JOIN names n ON n.target = i.digest WHERE i.blob = ?"
    return {row[0]: row[1] for row in database.read(sql + " GROUP BY i.digest", blob)}


def targets(database: Database, image_id: str) -> list[str]:
    """The indexes that an image is in."""
    sql = "SELECT DISTINCT digest FROM members WHERE image_id = ? ORDER BY digest"
    return [row[0] for row in database.read(sql, image_id)]


def names(database: Database, digest: str) -> list[str]:
    """The names that stand for an index."""
    return [row[0] for row in database.read("SELECT name FROM names WHERE target = ? ORDER BY name", digest)]


def all_members(database: Database) -> dict[str, dict[str, str]]:
    """Of every index: manifest -> image."""
    found: dict[str, dict[str, str]] = {}
    for digest, manifest, image_id in database.read("SELECT digest, manifest, image_id FROM members"):
        found.setdefault(digest, {})[manifest] = image_id
    return found


def lead(database: Database, digest: str, image_id: str, manifest: str) -> None:
    """Let the names of an index mean this image of it."""
    sql = "UPDATE names SET image_id = ?, digest = ? WHERE target = ?"
    database.write(sql, image_id, manifest, digest)


def leave(database: Database, digest: str, image_id: str) -> None:
    """An image is in the index no more."""
    database.write("DELETE FROM members WHERE digest = ? AND image_id = ?", digest, image_id)


def forget_unnamed(database: Database) -> list[str]:
    """Drop the indexes that no name stands for; returns the blobs that they needed."""
    sql = "SELECT blob FROM indexes WHERE digest NOT IN (SELECT target FROM names)"
    gone = [row[0] for row in database.read(sql)]
    if gone or database.one("SELECT 1 FROM members WHERE digest NOT IN (SELECT target FROM names)"):
        with database.transaction():
            for table in ("indexes", "members"):
                database.write(f"DELETE FROM {table} WHERE digest NOT IN (SELECT target FROM names)")
    return gone

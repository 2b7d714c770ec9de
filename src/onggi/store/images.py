"""Rows of images: ids, names, and which layers and blobs each one needs.

A name is a canonical reference: docker.io/library/debian:12 (a tag, moves) or ...@sha256:... (a digest,
stays).
"""

from __future__ import annotations

import msgspec

from onggi.store.database import Database

COLUMNS = "id, manifest, parent_id, created_at, tagged_at, used_at, kind"
IMAGE, ARTIFACT = "image", "artifact"


class ImageRow(msgspec.Struct, frozen=True):
    """`id` is the digest of the configuration, of an artifact that of its manifest; instants in nanoseconds
    since 1970, 0 for never.
    """

    id: str
    manifest: str
    parent_id: str | None
    created_at: int
    tagged_at: int
    used_at: int = 0
    kind: str = IMAGE


class NameRow(msgspec.Struct, frozen=True):
    """`digest` is that of the manifest that the name stood for when it was given. Where the name stands for
    an index, `target` is that, and `image_id` the image of it that is meant when no platform is named.
    """

    name: str
    image_id: str
    digest: str
    target: str = ""


class LayerRow(msgspec.Struct, frozen=True):
    """An unpacked layer; its snapshot's key is the chain id. `size` counts the bytes of its files.

    `blob` is empty for a layer of a build that nobody needed packed yet (images/layers.py).
    """

    chain_id: str
    parent: str | None
    diff_id: str
    blob: str
    size: int


def insert(database: Database, row: ImageRow, *, chain_ids: list[str], blobs: list[str]) -> None:
    """Add an image with its layers, bottom first, and its blobs; one that is there already stays as it is."""
    with database.transaction():
        sql = f"INSERT OR IGNORE INTO images ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        values = (
            row.id, row.manifest, row.parent_id, row.created_at, row.tagged_at, row.used_at, row.kind
        )  # fmt: skip
        if not database.write(sql, *values):
            used(database, row.id, row.used_at)
            return
        _add_parts(database, row.id, chain_ids, blobs)


def used(database: Database, image_id: str, at: int) -> None:
    """Note that an image was used, or came again; one that is gone has no last use."""
    database.write("UPDATE images SET used_at = max(used_at, ?) WHERE id = ?", at, image_id)


def get(database: Database, image_id: str) -> ImageRow | None:
    """By full id."""
    row = database.one(f"SELECT {COLUMNS} FROM images WHERE id = ?", image_id)
    return ImageRow(*row) if row else None


def list_(database: Database) -> list[ImageRow]:
    """All images, newest first."""
    rows = database.read(f"SELECT {COLUMNS} FROM images ORDER BY created_at DESC, id")
    return [ImageRow(*row) for row in rows]


def by_prefix(database: Database, prefix: str) -> list[str]:
    """Two ids at most that begin with `prefix` ("sha256:ab...")."""
    sql = "SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2"
    return [row[0] for row in database.read(sql, prefix, prefix + "g")]


def by_manifest(database: Database, digest: str) -> str | None:
    """The image whose manifest has this digest, in whichever index."""
    sql = (
        "SELECT id FROM images WHERE manifest = ?1"
        " UNION ALL SELECT image_id FROM members WHERE manifest = ?1 LIMIT 1"
    )
    row = database.one(sql, digest)
    return row[0] if row else None


def by_manifest_prefix(database: Database, prefix: str) -> list[str]:
    """Two images at most, of which a manifest or an index begins with `prefix`."""
    sql = (
        "SELECT id FROM images WHERE manifest >= ?1 AND manifest < ?2"
        " UNION SELECT image_id FROM members WHERE manifest >= ?1 AND manifest < ?2"
        " UNION SELECT image_id FROM names WHERE target >= ?1 AND target < ?2 LIMIT 2"
    )
    return [row[0] for row in database.read(sql, prefix, prefix + "g")]


def leader(database: Database, target: str) -> str | None:
    """The image that the names of an index mean."""
    row = database.one("SELECT image_id FROM names WHERE target = ? LIMIT 1", target)
    return row[0] if row else None


def children(database: Database, image_id: str) -> list[str]:
    """The images that were committed or built from this one."""
    rows = database.read("SELECT id FROM images WHERE parent_id = ? ORDER BY created_at, id", image_id)
    return [row[0] for row in rows]


def delete(database: Database, image_id: str) -> None:
    """Forget an image and what it needs; its children lose their parent."""
    with database.transaction():
        database.write("DELETE FROM names WHERE image_id = ?", image_id)
        database.write("UPDATE images SET parent_id = NULL WHERE parent_id = ?", image_id)
        database.write("DELETE FROM images WHERE id = ?", image_id)


def set_name(database: Database, row: NameRow, tagged_at: int) -> str | None:
    """Give a name, taking it from whatever had it; returns the id that lost it."""
    with database.transaction():
        before = find_name(database, row.name)
        sql = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?)"
        database.write(sql, row.name, row.image_id, row.digest, row.target)
        database.write("UPDATE images SET tagged_at = ? WHERE id = ?", tagged_at, row.image_id)
        return before if before != row.image_id else None


def drop_name(database: Database, name: str) -> None:
    """Take a name away; gone already is no fault."""
    database.write("DELETE FROM names WHERE name = ?", name)


def find_name(database: Database, name: str) -> str | None:
    """The id that a canonical name stands for."""
    row = database.one("SELECT image_id FROM names WHERE name = ?", name)
    return row[0] if row else None


def get_name(database: Database, name: str) -> NameRow | None:
    """The row of a canonical name."""
    row = database.one("SELECT name, image_id, digest, target FROM names WHERE name = ?", name)
    return NameRow(*row) if row else None


def names(database: Database, image_id: str = "") -> list[NameRow]:
    """All names, or those that keep one image: its own, and those of indexes that it is in; sorted."""
    if image_id:
        sql = "SELECT name, image_id, digest, target FROM holders WHERE held = ? ORDER BY name"
        return [NameRow(*row) for row in database.read(sql, image_id)]
    listed = database.read("SELECT name, image_id, digest, target FROM names ORDER BY name")
    return [NameRow(*row) for row in listed]


def names_with_blob(database: Database, digest: str) -> list[str]:
    """The names by digest of the images that need a blob: their repositories have it."""
    sql = (
        "SELECT DISTINCT n.name FROM holders n JOIN blobs b ON b.image_id = n.held"
        " WHERE b.digest = ? AND n.name LIKE '%@%' ORDER BY n.name"
    )
    return [row[0] for row in database.read(sql, digest)]


def add_layer(database: Database, row: LayerRow) -> None:
    """Add an unpacked layer."""
    sql = "INSERT INTO layers VALUES (?, ?, ?, ?, ?)"
    database.write(sql, row.chain_id, row.parent, row.diff_id, row.blob, row.size)


def get_layer(database: Database, chain_id: str) -> LayerRow | None:
    """By chain id."""
    row = database.one(
        "SELECT chain_id, parent, diff_id, blob, size FROM layers WHERE chain_id = ?", chain_id
    )
    return LayerRow(*row) if row else None


def chain_with(database: Database, diff_id: str) -> str | None:
    """The chain id of some layer that unpacks to this; they have the same files."""
    row = database.one("SELECT chain_id FROM layers WHERE diff_id = ?", diff_id)
    return row[0] if row else None


def set_layer_blob(database: Database, chain_id: str, blob: str) -> None:
    """Note that a layer has a packed form."""
    database.write("UPDATE layers SET blob = ? WHERE chain_id = ?", blob, chain_id)


def chain(database: Database, chain_id: str) -> list[LayerRow]:
    """A layer and those below it, bottom first."""
    rows = database.read(
        "WITH RECURSIVE chain (chain_id, depth) AS ("
        " SELECT chain_id, 0 FROM layers WHERE chain_id = ?"
        " UNION ALL SELECT l.parent, depth + 1 FROM layers l JOIN chain c ON l.chain_id = c.chain_id"
        " WHERE l.parent IS NOT NULL)"
        " SELECT l.chain_id, l.parent, l.diff_id, l.blob, l.size FROM chain JOIN layers l USING (chain_id)"
        " ORDER BY depth DESC", chain_id,
    )  # fmt: skip
    return [LayerRow(*row) for row in rows]


def stack(database: Database, image_id: str) -> list[LayerRow]:
    """The layers of an image, bottom first."""
    rows = database.read(
        "SELECT l.chain_id, l.parent, l.diff_id, l.blob, l.size FROM stacks s"
        " JOIN layers l ON l.chain_id = s.chain_id WHERE s.image_id = ? ORDER BY position", image_id,
    )  # fmt: skip
    return [LayerRow(*row) for row in rows]


def blobs(database: Database, image_id: str) -> list[str]:
    """The blobs that an image needs."""
    return [row[0] for row in database.read("SELECT digest FROM blobs WHERE image_id = ?", image_id)]


def known_blobs(database: Database) -> set[str]:
    """Every blob that some image, or another owner, needs."""
    rows = database.read(
        "SELECT digest FROM blobs UNION SELECT blob FROM indexes"
        " UNION SELECT target FROM roots WHERE kind = 'blob'"
    )
    return {row[0] for row in rows}


def unneeded_blobs(database: Database, digests: list[str]) -> list[str]:
    """Those of the digests that known_blobs() does not have; costs little however many images there are."""
    rows = database.read(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT digest FROM blobs)"
        " AND value NOT IN (SELECT blob FROM indexes)"
        " AND value NOT IN (SELECT target FROM roots WHERE kind = 'blob')",
        msgspec.json.encode(digests).decode(),
    )
    return [row[0] for row in rows]


def orphan_layers(database: Database) -> list[LayerRow]:
    """Layers of no image that no container stands on, top ones first, so that they can be removed in
    order.
    """
    rows = database.read(
        "WITH RECURSIVE needed (key) AS ("
        " SELECT chain_id FROM stacks UNION SELECT target FROM roots WHERE kind = 'snapshot'"
        " UNION SELECT parent FROM snapshots WHERE kind = 'active' AND parent IS NOT NULL"
        " UNION SELECT l.parent FROM layers l JOIN needed ON l.chain_id = needed.key"
        " WHERE l.parent IS NOT NULL),"
        "orphans (chain_id, depth) AS ("
        " SELECT chain_id, 0 FROM layers WHERE chain_id NOT IN (SELECT key FROM needed) AND parent IS NULL"
        " UNION SELECT chain_id, 1 FROM layers WHERE chain_id NOT IN (SELECT key FROM needed)"
        "   AND parent IN (SELECT key FROM needed)"
        " UNION SELECT l.chain_id, depth + 1 FROM layers l JOIN orphans o ON l.parent = o.chain_id)"
        " SELECT l.chain_id, l.parent, l.diff_id, l.blob, l.size FROM orphans JOIN layers l USING (chain_id)"
        " ORDER BY depth DESC"
    )
    return [LayerRow(*row) for row in rows]


def delete_layer(database: Database, chain_id: str) -> None:
    """Forget a layer."""
    database.write("DELETE FROM layers WHERE chain_id = ?", chain_id)


def drop_active(database: Database, key: str) -> None:
    """Forget a container's snapshot, and with it what it stands on; only inside what is taken back."""
    database.write("DELETE FROM snapshots WHERE key = ? AND kind = 'active'", key)


def sharing(database: Database) -> dict[str, int]:
    """How many images use each layer, by chain id."""
    rows = database.read("SELECT chain_id, count(*) FROM stacks GROUP BY chain_id")
    return {row[0]: row[1] for row in rows}


def set_parts(database: Database, image_id: str, *, chain_ids: list[str], blobs: list[str]) -> None:
    """Write the layers, bottom first, and blobs of an image anew."""
    with database.transaction():
        database.write("DELETE FROM stacks WHERE image_id = ?", image_id)
        database.write("DELETE FROM blobs WHERE image_id = ?", image_id)
        _add_parts(database, image_id, chain_ids, blobs)


def _add_parts(database: Database, image_id: str, chain_ids: list[str], blobs: list[str]) -> None:
    for position, chain_id in enumerate(chain_ids):
        database.write("INSERT INTO stacks VALUES (?, ?, ?)", image_id, position, chain_id)
    for digest in dict.fromkeys(blobs):
        database.write("INSERT INTO blobs VALUES (?, ?)", image_id, digest)

"""Rows of the build cache: what is kept, under which keys it is found, and in which layers it ends.

A record of kind `regular` is a step's result: its outputs name layers, which `roots` rows of the owner
`cache:ID` keep from collection. One of kind `exec.failed` is what a step left that failed, kept in the same
way, under no key. The other kinds own a directory `build/TREE`: a context, a checkout, a
download, a cache mount. Instants are nanoseconds since 1970.
"""

from __future__ import annotations

import msgspec

from onggi.store.database import Database

COLUMNS = "id, kind, state, tree, description, created_at, used_at, uses, size, boot, record"
REGULAR = "regular"
FAILED = "exec.failed"


class CacheRow(msgspec.Struct, frozen=True, kw_only=True):
    """`size` are the bytes on disk that this record alone brought. `boot`: the machine's boot in which it was
    made, as long as its files have not been synced; after a power cut such a record cannot be trusted.
    """

    id: str
    kind: str
    state: str
    tree: str
    description: str
    created_at: int
    used_at: int
    uses: int
    size: int
    boot: str
    record: bytes


def insert(database: Database, row: CacheRow) -> None:
    """Add a record."""
    marks = ", ".join("?" * len(COLUMNS.split(",")))
    database.write(f"INSERT INTO cache ({COLUMNS}) VALUES ({marks})", *msgspec.structs.astuple(row))


def get(database: Database, record_id: str) -> CacheRow | None:
    """By id."""
    return _first(database.read(f"SELECT {COLUMNS} FROM cache WHERE id = ?", record_id))


def find(database: Database, key: str) -> CacheRow | None:
    """The ready record that a key leads to."""
    sql = f"SELECT {COLUMNS} FROM cache JOIN cache_keys ON record_id = id WHERE key = ? AND state = 'ready'"
    return _first(database.read(sql, key))


def by_tree(database: Database, tree: str) -> CacheRow | None:
    """The record that owns a directory."""
    return _first(database.read(f"SELECT {COLUMNS} FROM cache WHERE tree = ?", tree))


def list_(database: Database) -> list[CacheRow]:
    """All records, least recently used first."""
    return [_row(row) for row in database.read(f"SELECT {COLUMNS} FROM cache ORDER BY used_at, id")]


def total(database: Database) -> int:
    """Bytes on disk of all records."""
    row = database.one("SELECT coalesce(sum(size), 0) FROM cache")
    return int(row[0]) if row is not None else 0


def set_state(database: Database, record_id: str, state: str) -> None:
    database.write("UPDATE cache SET state = ? WHERE id = ?", state, record_id)


def reopen(database: Database, record_id: str, boot: str) -> None:
    """A directory that was whole is changed again."""
    database.write("UPDATE cache SET state = 'making', boot = ? WHERE id = ?", boot, record_id)


def set_size(database: Database, record_id: str, size: int) -> None:
    database.write("UPDATE cache SET size = ? WHERE id = ?", size, record_id)


def finish(database: Database, record_id: str, size: int, description: str) -> None:
    """A directory is whole."""
    sql = "UPDATE cache SET state = 'ready', size = ?, description = ? WHERE id = ?"
    database.write(sql, size, description, record_id)


def set_record(database: Database, record_id: str, record: bytes) -> None:
    database.write("UPDATE cache SET record = ? WHERE id = ?", record, record_id)


def used(database: Database, record_id: str, at: int) -> None:
    """Note a use."""
    database.write("UPDATE cache SET used_at = ?, uses = uses + 1 WHERE id = ?", at, record_id)


def synced(database: Database) -> None:
    """Everything that was written before is on the device now."""
    database.write("UPDATE cache SET boot = '' WHERE boot != ''")


def set_key(database: Database, key: str, record_id: str) -> None:
    """Let a key lead to a record, whatever it led to before."""
    database.write("INSERT OR REPLACE INTO cache_keys VALUES (?, ?)", key, record_id)


def keys(database: Database, record_id: str) -> list[str]:
    return [row[0] for row in database.read("SELECT key FROM cache_keys WHERE record_id = ?", record_id)]


def set_output(database: Database, record_id: str, output: int, chain_id: str) -> None:
    """Name the layer that an output ends in, and keep it from collection."""
    with database.transaction():
        database.write("INSERT OR REPLACE INTO cache_outputs VALUES (?, ?, ?)", record_id, output, chain_id)
        if chain_id:
            keep(database, record_id, "snapshot", chain_id)


def outputs(database: Database, record_id: str) -> dict[int, str]:
    """Output number -> chain id."""
    rows = database.read("SELECT output, chain_id FROM cache_outputs WHERE record_id = ?", record_id)
    return {row[0]: row[1] for row in rows}


def all_outputs(database: Database) -> dict[str, list[str]]:
    """Record id -> the chain ids that it ends in."""
    found: dict[str, list[str]] = {}
    for record_id, chain_id in database.read("SELECT record_id, chain_id FROM cache_outputs"):
        found.setdefault(record_id, []).append(chain_id)
    return found


def keep(database: Database, record_id: str, kind: str, target: str) -> None:
    """Keep a blob or snapshot as long as the record is there."""
    database.write("INSERT OR IGNORE INTO roots VALUES (?, ?, ?)", f"cache:{record_id}", kind, target)


def delete(database: Database, record_id: str) -> None:
    """Forget a record, its keys and what it kept."""
    with database.transaction():
        database.write("DELETE FROM roots WHERE owner = ?", f"cache:{record_id}")
        database.write("DELETE FROM cache WHERE id = ?", record_id)


def _first(rows: list[tuple[object, ...]]) -> CacheRow | None:
    return _row(rows[0]) if rows else None


def _row(row: tuple[object, ...]) -> CacheRow:
    return CacheRow(**dict(zip(CacheRow.__struct_fields__, row, strict=True)))  # type: ignore[arg-type]

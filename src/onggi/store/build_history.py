"""Rows of the history of builds: a record for each, with its blobs beside it in the same file.

The blobs of a record are small (logs are bounded) and packed, so that a row owns them: what is committed is a
whole record, and removing the row removes them. Instants are nanoseconds since 1970; `ended_at` 0: it runs.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec

from onggi.store.database import Database

COLUMNS = "ref, begun_at, ended_at, pinned, size, record"


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """`record` is the builder's message; `size` the bytes here of it and its blobs."""

    ref: str
    begun_at: int
    ended_at: int = 0
    pinned: bool = False
    size: int = 0
    record: bytes


def begin(database: Database, ref: str, at: int, record: bytes) -> None:
    """A build that runs; an earlier record of its name goes."""
    with database.transaction():
        delete(database, ref)
        database.write(
            f"INSERT INTO build_history ({COLUMNS}) VALUES (?, ?, 0, 0, ?, ?)", ref, at, len(record), record
        )


def end(database: Database, ref: str, at: int, record: bytes, blobs: Mapping[str, bytes]) -> bool:
    """The build has ended; `blobs` are plain, by digest. False when the record was removed meanwhile."""
    packed = {digest: zlib.compress(data) for digest, data in blobs.items()}
    size = len(record) + sum(map(len, packed.values()))
    with database.transaction():
        sql = "UPDATE build_history SET ended_at = ?, size = ?, record = ? WHERE ref = ?"
        if not database.write(sql, at, size, record, ref):
            return False
        for digest, data in packed.items():
            sql = "INSERT INTO build_history_blobs (ref, digest, size, data) VALUES (?, ?, ?, ?)"
            database.write(sql, ref, digest, len(blobs[digest]), data)
    return True


def pin(database: Database, ref: str, record: bytes, *, pinned: bool) -> None:
    database.write("UPDATE build_history SET pinned = ?, record = ? WHERE ref = ?", pinned, record, ref)


def get(database: Database, ref: str) -> HistoryRow | None:
    row = database.one(f"SELECT {COLUMNS} FROM build_history WHERE ref = ?", ref)
    return _row(row) if row is not None else None


def ended(database: Database) -> list[HistoryRow]:
    """Records of builds that have ended, the newest first."""
    sql = f"SELECT {COLUMNS} FROM build_history WHERE ended_at > 0 ORDER BY begun_at DESC, ref"
    return [_row(row) for row in database.read(sql)]


def running(database: Database) -> list[HistoryRow]:
    sql = f"SELECT {COLUMNS} FROM build_history WHERE ended_at = 0"
    return [_row(row) for row in database.read(sql)]


def delete(database: Database, ref: str) -> bool:
    """With its blobs. False when there is none."""
    return bool(database.write("DELETE FROM build_history WHERE ref = ?", ref))


def surplus(database: Database, *, most: int, most_bytes: int) -> list[str]:
    """Records beyond `most`, or beyond `most_bytes` of all together; the oldest, and none that is pinned."""
    rows = database.read(
        "SELECT ref, pinned, size FROM build_history WHERE ended_at > 0 ORDER BY ended_at DESC"
    )
    used = sum(int(size) for _, pinned, size in rows if pinned)
    found: list[str] = []
    kept = 0
    for ref, pinned, size in rows:
        if pinned:
            continue
        if kept >= most or used + int(size) > most_bytes:
            found.append(ref)
            continue
        kept, used = kept + 1, used + int(size)
    return found


def pinned(database: Database) -> int:
    row = database.one("SELECT count(*) FROM build_history WHERE pinned")
    return int(row[0]) if row is not None else 0


def blob_size(database: Database, digest: str) -> int | None:
    row = database.one("SELECT size FROM build_history_blobs WHERE digest = ?", digest)
    return int(row[0]) if row is not None else None


def blob(database: Database, digest: str) -> bytes | None:
    """Its bytes; None when no record has it."""
    row = database.one("SELECT data FROM build_history_blobs WHERE digest = ?", digest)
    return zlib.decompress(row[0]) if row is not None else None


def _row(row: tuple[object, ...]) -> HistoryRow:
    return msgspec.convert(dict(zip(COLUMNS.split(", "), row, strict=True)), HistoryRow, strict=False)

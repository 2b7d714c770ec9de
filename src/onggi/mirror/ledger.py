"""What the cache holds, in one SQLite file beside its blobs.

    blobs      digest, size, media type (of manifests; else empty), when it was last asked for
    holders    repository -> digest: a blob is served to a repository only where upstream has it there
    tags       repository, tag -> digest, and when upstream last said so

A repository is written `domain/path`. A row is written before its blob is put into place and deleted after
it; `reconcile` at start removes what a crash left on either side. A stored row of an unknown form is
forgotten with its blobs: all of it can be fetched again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from onggi.store.atomic import remove
from onggi.store.blobs import Blobs

log = logging.getLogger(__name__)

VERSION = 1
TOUCH_NS = 10_000_000_000  # a blob's last use is written at most so often
TABLES = """
CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, media_type TEXT NOT NULL,
                    used_at INTEGER NOT NULL) STRICT;
CREATE TABLE holders (repository TEXT, digest TEXT, PRIMARY KEY (repository, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE tags (repository TEXT, tag TEXT, digest TEXT NOT NULL, seen_at INTEGER NOT NULL,
                   PRIMARY KEY (repository, tag)) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_by_use ON blobs (used_at);
CREATE INDEX holders_by_digest ON holders (digest);
"""


class Held(msgspec.Struct, frozen=True):
    """A blob that is here."""

    digest: str
    size: int
    media_type: str


class Ledger:
    """Its methods may be called from several threads."""

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            log.warning("%s: %s: begun anew, all of it can be fetched again", path, error)
            for suffix in ("", "-wal", "-shm"):
                remove(path + suffix)
            self._open(path)

    def _open(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA quick_check")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            with self._transaction() as db:
                for name in ("blobs", "holders", "tags"):
                    db.execute(f"DROP TABLE IF EXISTS {name}")
                for statement in TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def add(self, repository: str, digest: str, size: int, media_type: str = "") -> None:
        """A blob that comes now, and that its repository has."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO blobs VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET "
                "size = excluded.size, used_at = excluded.used_at, "
                "media_type = coalesce(nullif(excluded.media_type, ''), media_type)",
                (digest, size, media_type, time.time_ns()),
            )
            db.execute("INSERT OR IGNORE INTO holders VALUES (?, ?)", (repository, digest))

    def tag(self, repository: str, tag: str, digest: str) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", (repository, tag, digest, time.time_ns())
            )

    def tagged(self, repository: str, tag: str) -> tuple[str, int] | None:
        """(digest, when upstream said so)."""
        found = self._one(
            "SELECT digest, seen_at FROM tags WHERE repository = ? AND tag = ?", repository, tag
        )
        return (str(found[0]), int(found[1])) if found else None

    def tags(self, repository: str) -> list[str]:
        with self._lock:
            rows = self._connection.execute(
                "SELECT tag FROM tags WHERE repository = ? ORDER BY tag", (repository,)
            ).fetchall()
        return [str(row[0]) for row in rows]

    def find(self, repository: str, digest: str) -> Held | None:
        """A blob that this repository is known to have; it counts as used."""
        found = self._one(
            "SELECT b.size, b.media_type, b.used_at FROM blobs b JOIN holders h ON h.digest = b.digest "
            "WHERE h.repository = ? AND b.digest = ?",
            repository,
            digest,
        )
        if found is None:
            return None
        now = time.time_ns()
        if now - int(found[2]) >= TOUCH_NS:
            with self._transaction() as db:
                db.execute("UPDATE blobs SET used_at = ? WHERE digest = ?", (now, digest))
        return Held(digest, int(found[0]), str(found[1]))

    def bytes(self) -> int:
        found = self._one("SELECT coalesce(sum(size), 0) FROM blobs")
        return int(found[0]) if found else 0

    def oldest(self) -> list[tuple[str, int]]:
        """(digest, size) of all blobs, least recently used first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT digest, size FROM blobs ORDER BY used_at, rowid"
            ).fetchall()
        return [(str(row[0]), int(row[1])) for row in rows]

    def forget(self, digest: str) -> None:
        """A blob that is gone, with all that leads to it."""
        with self._transaction() as db:
            for table in ("blobs", "holders", "tags"):
                db.execute(f"DELETE FROM {table} WHERE digest = ?", (digest,))

    def reconcile(self, blobs: Blobs) -> None:
        """Blobs without a row are deleted, rows without their blob forgotten."""
        here = dict(blobs.list_())
        known = dict(self.oldest())
        for digest in here.keys() - known.keys():
            blobs.remove(digest)
        for digest, size in known.items():
            if here.get(digest) != size:
                self.forget(digest)
                blobs.remove(digest)

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        with self._lock:
            row = self._connection.execute(statement, values).fetchone()
        return tuple(row) if row else None

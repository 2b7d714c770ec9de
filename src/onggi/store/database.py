"""One SQLite file holds every object of the engine and who owns it.

The tables are drawn in store/migrations.py; each noun has its module of small functions (containers.py, ...).
One connection, one lock: a statement is atomic, `transaction()` holds the lock until its end, so nothing slow
belongs inside. A single-row read or write costs about 0.03 ms and may be done on the event loop.

Durability. WAL with synchronous=NORMAL: a commit is one write(2) without fsync(2). A killed daemon loses
nothing; a power cut may lose the last commits but leaves a consistent file (sqlite.org/wal.html, section 3).
`transaction(durable=True)` commits with synchronous=FULL: for rows whose files are deleted next.

Owns onggi.db, onggi.db-wal and onggi.db-shm. One daemon per root (store/locks.py) is the only writer.
Not here: what records mean (engine/record.py), which rows exist (migrations.py).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onggi import failpoints
from onggi.errors import Corrupt, NoSpace, System
from onggi.store import migrations

APPLICATION_ID = 0x4F4E4747  # "ONGG"; file(1) and `open` know our file by it
BUSY_TIMEOUT_MS = 5000  # somebody looks with the sqlite3 command
# A whole check reads about 1 GB/s; below this size it is done at each open, above it after a crash only.
QUICK_CHECK_BYTES = 16 << 20
# The log has this much disk from the start, so that on a full disk containers still end and can be removed.
# SQLite writes the log from its beginning again after each checkpoint and does not shorten it (section 2.3).
RESERVE_BYTES = 2 << 20

Value = str | int | bytes | None
Row = tuple[Any, ...]


class Database:
    """An open onggi.db. Safe for use from several threads; close() marks the file clean."""

    def __init__(self, path: str) -> None:
        """Open or create, check, and bring up to the newest schema. Raises Corrupt, System, NoSpace."""
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection
        with self._translated():
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000
            )
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Mark the file clean, fold the log into it and close. A second call does nothing."""
        with self._lock:
            try:
                with self._translated():
                    self._connection.execute("UPDATE state SET value = 1 WHERE key = 'clean'")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.ProgrammingError:
                return  # closed before
            finally:
                self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, sql: str, *values: Value) -> list[Row]:
        """All rows of a query."""
        with self._lock, self._translated():
            return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query, or None."""
        with self._lock, self._translated():
            row: Row | None = self._connection.execute(sql, values).fetchone()
            return row

    def write(self, sql: str, *values: Value) -> int:
        """One statement, committed at once unless inside `transaction()`; returns the number of rows touched.

        Raises sqlite3.IntegrityError for a broken constraint: the noun's module makes it a Conflict.
        """
        with self._lock, self._translated():
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Several statements as one; rolled back when the block raises. Nested blocks join the outer one."""
        with self._lock, self._translated():
            if self._connection.in_transaction:
                yield
                return
            if durable:
                self._connection.execute("PRAGMA synchronous = FULL")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    failpoints.hit("database.commit")
                except BaseException:
                    if self._connection.in_transaction:  # SQLite rolls back by itself when the disk is full
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            finally:
                if durable:
                    self._connection.execute("PRAGMA synchronous = NORMAL")

    def _prepare(self) -> None:
        execute = self._connection.execute
        version = execute("PRAGMA user_version").fetchone()[0]
        known = len(migrations.STEPS)
        if version > known:
            raise System(f"database {self.path} has schema {version}, this engine knows up to {known}")
        application = execute("PRAGMA application_id").fetchone()[0]
        if version and application != APPLICATION_ID:
            raise System(f"{self.path} is a database of another program")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA foreign_keys = ON")
        if version:
            self._check()
        self._migrate(version)
        execute("INSERT INTO state VALUES ('clean', 0) ON CONFLICT (key) DO UPDATE SET value = 0")
        self._reserve()

    def _reserve(self) -> None:
        """Give the log its disk blocks now. Zeroes after its last frame are no frame (fileformat2, 4.5)."""
        fd = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP):
                raise  # a disk that is full already must not keep the engine from starting
        finally:
            os.close(fd)

    def _check(self) -> None:
        """Read the whole file after a crash, or when that is cheap; name the fault."""
        execute = self._connection.execute
        clean = execute("SELECT value FROM state WHERE key = 'clean'").fetchone()
        pages, page_bytes = (execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if clean == (1,) and pages * page_bytes > QUICK_CHECK_BYTES:
            return
        verdict = execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise Corrupt(f"database {self.path} is corrupt: {' '.join(str(verdict).split())}")

    def _migrate(self, version: int) -> None:
        """Take the steps that the file lacks, each in its own transaction with its number."""
        for number, step in enumerate(migrations.STEPS[version:], version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {number};"
                f"PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn SQLite's errors into kinds; a broken constraint or a closed connection passes as it is."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.Error as error:
            raise _kind(self.path, error) from error


def _kind(path: str, error: sqlite3.Error) -> System:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte of an extended code is the primary one
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Corrupt(f"database {path} is corrupt: {error}")
    if code == sqlite3.SQLITE_FULL:
        return NoSpace(f"database {path}: no space left on device")
    return System(f"database {path}: {error}")

"""The rows and directories that every snapshotter has: who owns which directory, and what stands on what.

    snapshots/ID/fs         the tree               ID is a short number in base 36, never used twice
    snapshots/ID/work       overlay's work directory, of active snapshots
    snapshots/ID/init       what lies between a layer and its containers: engine/containers/init_layer.py
    snapshots/empty/fs      an empty tree

A subclass says how a tree is filled (`_fill`) and mounted.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time

from onggi import failpoints
from onggi.errors import Conflict, InvalidParameter, NotFound
from onggi.images.snapshots import projects
from onggi.images.snapshots.protocol import Reconciled, Usage
from onggi.store.database import Database
from onggi.store.trash import Trash

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
EMPTY = "empty"


class Rows:
    """Everything about snapshots but what is in a tree and how it is mounted."""

    stackable = False
    served = False

    def __init__(self, root: str, database: Database, trash: Trash) -> None:
        if any(character in root for character in ':,\\"\n'):
            raise InvalidParameter(f"{root}: a root may not have a colon, a comma or a backslash in its path")
        self.root = root
        self._database = database
        self._trash = trash
        os.makedirs(f"{root}/{EMPTY}/fs", mode=0o755, exist_ok=True)
        os.chmod(root, 0o700)

    def create(self, key: str, parent: str, owner: str, *, project: int = 0) -> None:
        if parent and not self.exists(parent):
            raise NotFound(f"parent snapshot {parent} does not exist")
        directory = f"{self.root}/{self._insert(key, parent, owner)}"
        failpoints.hit("snapshot.row-written")
        try:
            os.mkdir(directory, 0o700)
            if project:
                projects.put(directory, project)
            self._fill(directory, parent)
            failpoints.hit("snapshot.filled")
            self._state(key, "ready")
        except BaseException:
            self._drop(key, directory)
            raise

    def commit(self, key: str, name: str, parent: str = "") -> None:
        if parent and not self.stackable:
            raise InvalidParameter(f"snapshot {key}: its parent cannot be named at commit")
        failpoints.hit("snapshot.commit")
        try:
            changed = self._database.write(
                "UPDATE snapshots SET key = ?, kind = 'committed', owner = 'layer',"
                " parent = coalesce(nullif(?, ''), parent)"
                " WHERE key = ? AND kind = 'active' AND state = 'ready'",
                name, parent, key,
            )  # fmt: skip
        except sqlite3.IntegrityError:
            raise Conflict(f"snapshot {name} already exists") from None
        if not changed:
            raise NotFound(f"active snapshot {key} does not exist")

    def replace(self, key: str, name: str, parent: str) -> None:
        failpoints.hit("snapshot.replace")
        with self._database.transaction():
            row = self._database.one("SELECT id FROM snapshots WHERE key = ?", name)
            self._database.write("DELETE FROM snapshots WHERE key = ?", name)
            self.commit(key, name, parent if self.stackable else "")
        if row is not None:
            self._trash.throw(f"{self.root}/{row[0]}")

    def exists(self, key: str) -> bool:
        sql = "SELECT 1 FROM snapshots WHERE key = ? AND state = 'ready'"
        return self._database.one(sql, key) is not None

    def remove(self, key: str) -> None:
        row = self._database.one("SELECT id FROM snapshots WHERE key = ?", key)
        if row is None:
            return
        child = self._database.one("SELECT key FROM snapshots WHERE parent = ? AND state != 'removing'", key)
        if child is not None:
            raise Conflict(f"snapshot {key} is in use by snapshot {child[0]}")
        self._state(key, "removing")
        failpoints.hit("snapshot.removing")
        self._drop(key, f"{self.root}/{row[0]}")

    def tree(self, key: str) -> str:
        return f"{self._directory(key)}/fs"

    def lowers(self, key: str) -> list[str]:
        """One query walks the chain of parents."""
        rows = self._database.read(
            "WITH RECURSIVE chain (key, id, parent, depth) AS ("
            " SELECT key, id, parent, 0 FROM snapshots WHERE key = ?"
            " UNION ALL SELECT s.key, s.id, s.parent, depth + 1"
            " FROM snapshots s JOIN chain ON s.key = chain.parent)"
            " SELECT id FROM chain ORDER BY depth", key,
        )  # fmt: skip
        if not rows:
            raise NotFound(f"snapshot {key} does not exist")
        return [f"{self.root}/{row[0]}/fs" for row in rows[1:]]

    def below(self, key: str) -> list[str]:
        return self.lowers(key)

    def parent(self, key: str) -> str:
        row = self._database.one("SELECT parent FROM snapshots WHERE key = ?", key)
        if row is None:
            raise NotFound(f"snapshot {key} does not exist")
        return str(row[0] or "")

    def beside(self, name: str) -> str:
        return self._directory(name) if name else f"{self.root}/{EMPTY}"

    def usage(self, key: str) -> Usage:
        return measure(self.tree(key))

    def reconcile(self) -> Reconciled:
        removed, lost = [], []
        unwanted = "SELECT key, id FROM snapshots WHERE state != 'ready' OR owner IN ('unpack', 'build')"
        for key, directory in self._database.read(unwanted):
            self._drop(key, f"{self.root}/{directory}")
            removed.append(key)
        known = {row[1]: row[0] for row in self._database.read("SELECT key, id FROM snapshots")}
        present = set(os.listdir(self.root))
        for name in sorted(present - set(known) - {EMPTY}):
            self._trash.move(f"{self.root}/{name}")
            removed.append(name)
        lost = sorted(key for name, key in known.items() if name not in present)
        return Reconciled(removed, lost)

    def _fill(self, directory: str, parent: str) -> None:
        raise NotImplementedError

    def _directory(self, key: str) -> str:
        row = self._database.one("SELECT id FROM snapshots WHERE key = ? AND state = 'ready'", key)
        if row is None:
            raise NotFound(f"snapshot {key} does not exist")
        return f"{self.root}/{row[0]}"

    def _insert(self, key: str, parent: str, owner: str) -> str:
        with self._database.transaction():
            row = self._database.one("SELECT value FROM state WHERE key = 'snapshots'")
            number = (row[0] if row else 0) + 1
            self._database.write("INSERT OR REPLACE INTO state VALUES ('snapshots', ?)", number)
            try:
                self._database.write(
                    "INSERT INTO snapshots VALUES (?, ?, ?, 'active', 'making', ?, ?)",
                    key, base36(number), parent or None, owner, time.time_ns(),
                )  # fmt: skip
            except sqlite3.IntegrityError:
                raise Conflict(f"snapshot {key} already exists") from None
        return base36(number)

    def _state(self, key: str, state: str) -> None:
        self._database.write("UPDATE snapshots SET state = ? WHERE key = ?", state, key)

    def _drop(self, key: str, directory: str) -> None:
        """Directory to the trash, then the row; in this order the owner row outlives what it owns."""
        moved = self._trash.move(directory)
        failpoints.hit("snapshot.moved")
        self._database.write("DELETE FROM snapshots WHERE key = ?", key)
        if moved is not None:
            self._trash.discard(moved)


def measure(tree: str) -> Usage:
    """What is below a directory. Raises OSError."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [tree]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    pending.append(entry.path)
                identity = (facts.st_dev, facts.st_ino)
                if identity not in seen:
                    seen.add(identity)
                    total += facts.st_blocks * 512
    return Usage(total, len(seen))


def base36(number: int) -> str:
    """A number in as few lower-case characters as file names allow everywhere."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return digits or "0"

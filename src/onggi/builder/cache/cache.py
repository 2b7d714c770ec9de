"""The records of the build cache: found by key, made for results and directories, removed by their owner.

    find(key) -> Found                    a step's result that is here, whole
    save(Saving) -> record id             a step's result from now on
    tree(kind, name) -> Tree              a directory of ours: a context, a download, a cache mount

A record is written before its directory is made and deleted after it is renamed away. Its layers are kept
from collection by `roots` rows. What a running build uses is counted in `in_use`, and not removed.
Until the file system has been synced, a record is true only as long as the machine has not been switched off:
its `boot` says in which boot it was made. Commit point of a result: its row with `ready`.
Failpoints: cache.row-written, cache.tree-made, cache.saved.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import Counter

import msgspec

from onggi import failpoints
from onggi.builder.cache.failed import FailedStep
from onggi.builder.solver.results import Stack
from onggi.images.images import Images
from onggi.store import build_cache as rows
from onggi.store import images as image_rows
from onggi.store.build_cache import CacheRow

BOOT_ID = "/proc/sys/kernel/random/boot_id"
LOCAL = "source.local"
GIT = "source.git.checkout"
HTTP = "source.http"
MOUNT = "exec.cachemount"


class Part(msgspec.Struct, frozen=True):
    """One reason of a key: `what` it is about, as people read it, and its digest."""

    what: str
    digest: str


class Recorded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a record holds beside its row."""

    vertex: str = ""
    parts: tuple[Part, ...] = ()
    parents: tuple[str, ...] = ()  # records that this one was made from
    failed: FailedStep | None = None


class Found(msgspec.Struct, frozen=True):
    """A result that is here."""

    record_id: str
    created_at: int
    outputs: dict[int, Stack]
    parts: tuple[Part, ...]


class Tree(msgspec.Struct, frozen=True):
    """A directory of ours. `made`: it is new, and empty."""

    record_id: str
    path: str
    made: bool


class Cache:
    """All records. Blocking; its methods may be called from several threads."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self.database = images.database
        self.root = images.paths.build_dir
        self.in_use: Counter[str] = Counter()
        self.lock = threading.RLock()
        with open(BOOT_ID, encoding="ascii") as file:
            self.boot = file.read().strip()
        os.makedirs(self.root, 0o700, exist_ok=True)

    def find(self, key: str) -> Found | None:
        """The result that a key leads to, where all its layers are here."""
        row = rows.find(self.database, key)
        if row is None:
            return None
        outputs: dict[int, Stack] = {}
        for number, chain_id in rows.outputs(self.database, row.id).items():
            layers = image_rows.chain(self.database, chain_id) if chain_id else []
            if chain_id and not layers:
                return None  # collected by force: the step runs again
            outputs[number] = Stack(tuple(layers))
        rows.used(self.database, row.id, time.time_ns())
        return Found(row.id, row.created_at, outputs, recorded(row).parts)

    def save(
        self,
        key: str,
        *,
        vertex: str,
        name: str,
        outputs: dict[int, Stack],
        parts: tuple[Part, ...],
        parents: tuple[str, ...],
        disk_bytes: int,
        created_at: int,
        failed: FailedStep | None = None,
    ) -> str:
        """Keep a result under its key, in the place of what the key led to before; the record's id. What a
        step left that `failed` has no key.
        """
        record_id = secrets.token_hex(12)
        kind = rows.REGULAR if failed is None else rows.FAILED
        row = CacheRow(
            id=record_id, kind=kind, state="ready", tree="", description=name,
            created_at=created_at, used_at=created_at, uses=0, size=disk_bytes, boot=self.boot,
            record=msgspec.json.encode(Recorded(vertex, parts, parents, failed)),
        )  # fmt: skip
        with self.lock, self.database.transaction():
            rows.insert(self.database, row)
            for number, stack in outputs.items():
                rows.set_output(self.database, record_id, number, stack.top)
            if failed is None:
                rows.set_key(self.database, key, record_id)
            for chain_id in filter(None, failed.inputs if failed is not None else ()):
                rows.keep(self.database, record_id, "snapshot", chain_id)
        failpoints.hit("cache.saved")
        return record_id

    # -- directories

    def tree(self, kind: str, name: str, *, use: bool = True) -> Tree:
        """The directory of that name and kind, made where there is none. `use` counts it as in use."""
        with self.lock:
            row = rows.by_tree(self.database, name)
            path = f"{self.root}/{name}"
            if row is None:
                row = self._new_tree(kind, name, path)
                found = Tree(row.id, path, True)
            else:
                rows.used(self.database, row.id, time.time_ns())
                found = Tree(row.id, path, False)
            if use:
                self.in_use[row.id] += 1
            return found

    def own_tree(self, kind: str, name: str) -> Tree:
        """A directory that nobody else uses: `name`, or `name.1` and so on while builds are at these."""
        with self.lock:
            number = 0
            while True:
                chosen = f"{name}.{number}" if number else name
                row = rows.by_tree(self.database, chosen)
                if row is None or not self.in_use[row.id]:
                    return self.tree(kind, chosen)
                number += 1

    def _new_tree(self, kind: str, name: str, path: str) -> CacheRow:
        now = time.time_ns()
        row = CacheRow(
            id=secrets.token_hex(12), kind=kind, state="making", tree=name, description=kind,
            created_at=now, used_at=now, uses=1, size=0, boot=self.boot,
            record=msgspec.json.encode(Recorded()),
        )  # fmt: skip
        rows.insert(self.database, row)
        failpoints.hit("cache.row-written")
        os.mkdir(path, 0o755)
        failpoints.hit("cache.tree-made")
        return row

    def finish(self, record_id: str, *, size: int, description: str) -> None:
        """A directory is whole now."""
        rows.finish(self.database, record_id, size, description)

    def measure(self, tree: Tree) -> None:
        """Note what a directory takes on disk now."""
        rows.set_size(self.database, tree.record_id, disk_bytes(tree.path))

    def forget(self, record_id: str) -> None:
        """Remove a record by id."""
        row = rows.get(self.database, record_id)
        if row is not None:
            self.remove(row)

    def release(self, record_id: str) -> None:
        """Count a use less."""
        with self.lock:
            self.in_use[record_id] -= 1
            if self.in_use[record_id] <= 0:
                del self.in_use[record_id]

    def remove(self, row: CacheRow) -> None:
        """Remove a record: its directory first, then its rows. Layers are for images/collect.py."""
        if row.tree:
            rows.set_state(self.database, row.id, "removing")
            self._images.trash.throw(f"{self.root}/{row.tree}")
        rows.delete(self.database, row.id)

    def throw(self, path: str) -> None:
        """Let a directory of ours go, in the end."""
        self._images.trash.throw(path)

    # -- power cuts and crashes

    def synced(self) -> None:
        """The file system was synced after all that is recorded was written."""
        rows.synced(self.database)

    def recover(self) -> list[str]:
        """Once at start: remove what was half made, what a power cut may have torn, what has no row."""
        removed = []
        for row in rows.list_(self.database):
            torn = row.boot not in ("", self.boot)
            if row.state != "ready" or torn:
                self.remove(row)
                removed.append(row.id)
        known = {row.tree for row in rows.list_(self.database)}
        for name in os.listdir(self.root):
            if name not in known:
                self._images.trash.throw(f"{self.root}/{name}")
                removed.append(name)
        return removed


def disk_bytes(path: str) -> int:
    """Blocks of everything below a directory, each inode once; what vanishes meanwhile is not counted."""
    seen: set[int] = set()
    total = 0
    pending = [path]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    if facts.st_nlink == 1 or facts.st_ino not in seen:
                        seen.add(facts.st_ino)
                        total += facts.st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def recorded(row: CacheRow) -> Recorded:
    """What is written in a row; of another version's, nothing."""
    try:
        return msgspec.json.decode(row.record, type=Recorded)
    except msgspec.DecodeError:
        return Recorded()

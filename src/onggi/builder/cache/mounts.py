"""Cache mounts: directories that outlive builds, by id.

    shared    every step that names the id has the same directory, at the same time
    locked    the same, one step after the other
    private   a directory of one's own: one that is left from before and free, else a new one

A new directory begins as a copy of what the mount's `from` has at `source`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from onggi.builder.cache.cache import MOUNT, Tree
from onggi.builder.executors.copying import Copier
from onggi.builder.graph import Cache as CacheMount
from onggi.builder.graph import CopyAction
from onggi.builder.solver.results import EMPTY, Result
from onggi.errors import OnggiError
from onggi.images.apply import extract
from onggi.images.compression import decompress
from onggi.images.tree import RESOLVE
from onggi.kernel.files import openat2
from onggi.store import build_cache as rows
from onggi.store.blobs import Ingest

if TYPE_CHECKING:
    from onggi.builder.remote.config import Blob
    from onggi.builder.remote.importing import Imported
    from onggi.builder.solver.job import Job

log = logging.getLogger(__name__)


@asynccontextmanager
async def opened(job: Job, mount: CacheMount, inputs: list[Result | None]) -> AsyncIterator[str]:
    """The host path of a mount's directory, for as long as a step has it."""
    name = "mount-" + hashlib.sha256(mount.id.encode()).hexdigest()[:32]
    builder = job.builder
    lock = builder.mount_locks.setdefault(name, asyncio.Lock()) if mount.sharing == "locked" else None
    if lock is not None:
        await lock.acquire()
    try:
        await _imported(job, mount, name)
        tree = await builder.work(_tree, job, mount, name, inputs)
        job.mounts.setdefault(mount.id, f"{tree.path}/fs")
        try:
            yield f"{tree.path}/fs"
        finally:
            await builder.work(_done, job, mount, tree)
    finally:
        if lock is not None:
            lock.release()


async def _imported(job: Job, mount: CacheMount, name: str) -> None:
    """A directory that is not here yet begins as an imported cache has it. One that cannot be read begins
    empty.
    """
    for imported in job.imported:
        blob = imported.mount(mount.id)
        if blob is None or await job.builder.work(rows.by_tree, job.builder.cache.database, name) is not None:
            continue
        async with job.builder.mount_locks.setdefault(f"import {name}", asyncio.Lock()):
            try:
                await _bring(job, mount, name, imported, blob)
                return
            except (OnggiError, OSError) as error:
                log.warning("cache mount %r of %s is not usable: %s", mount.id, imported.source.name, error)


async def _bring(job: Job, mount: CacheMount, name: str, imported: Imported, blob: Blob) -> None:
    work = job.builder.work
    ingest = await work(job.engine.images.blobs.ingest, blob.digest)
    try:
        await imported.source.blob(blob.digest, blob.size, ingest.write)
        await work(_unpacked, job, mount, name, ingest)
    finally:
        await work(ingest.discard)


def _unpacked(job: Job, mount: CacheMount, name: str, ingest: Ingest) -> None:
    cache = job.builder.cache
    ingest.seal()
    with cache.lock:
        tree = cache.tree(MOUNT, name, use=False)
        if not tree.made:
            return
        try:
            os.mkdir(f"{tree.path}/fs", 0o755)
            fd = os.open(f"{tree.path}/fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with open(ingest.path, "rb") as file:
                    extract(decompress(file), fd, own_root=True)
            finally:
                os.close(fd)
            cache.finish(tree.record_id, size=0, description=_description(mount))
        except BaseException:
            cache.forget(tree.record_id)
            raise


def _description(mount: CacheMount) -> str:
    return f"cached mount {mount.target} with id {mount.id!r}"


def _tree(job: Job, mount: CacheMount, name: str, inputs: list[Result | None]) -> Tree:
    cache = job.builder.cache
    with cache.lock:  # a second step that comes meanwhile finds it filled
        tree = cache.own_tree(MOUNT, name) if mount.sharing == "private" else cache.tree(MOUNT, name)
        if tree.made:
            try:
                _fill(job, mount, tree, inputs[mount.input] if mount.input >= 0 else None)
                cache.finish(tree.record_id, size=0, description=_description(mount))
            except BaseException:
                cache.release(tree.record_id)
                cache.forget(tree.record_id)
                raise
        return tree


def _fill(job: Job, mount: CacheMount, tree: Tree, begin: Result | None) -> None:
    os.mkdir(f"{tree.path}/fs", 0o755)
    os.chmod(f"{tree.path}/fs", 0o755)
    if begin is None:
        return
    root_fd = job.views.root(begin or EMPTY)
    target = os.open(f"{tree.path}/fs", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        source = mount.source or "/"
        Copier(
            root_fd, target, CopyAction(from_input=0, source=source, target="/", wildcard=False), None
        ).run()
        fd = openat2(root_fd, os.fsencode(source.strip("/")) or b".", os.O_PATH, resolve=RESOLVE)
        try:
            facts = os.fstat(fd)
        finally:
            os.close(fd)
        os.chown(f"{tree.path}/fs", facts.st_uid, facts.st_gid)
        os.chmod(f"{tree.path}/fs", facts.st_mode & 0o7777)
    finally:
        os.close(target)


def _done(job: Job, mount: CacheMount, tree: Tree) -> None:
    cache = job.builder.cache
    try:
        cache.measure(tree)
    finally:
        cache.release(tree.record_id)

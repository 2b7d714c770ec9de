"""The root of a container for the archive verbs, running or not, and archives that pass between the colours.

A running container is seen through /proc/PID/root with all its mounts; another one through its snapshot with
its volumes and binds mounted in a view that nobody else sees (images/view.py).
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.containers import init_layer, mount_sources
from onggi.engine.oci import mounts as oci_mounts
from onggi.errors import System
from onggi.images import view
from onggi.images.pipe import Pipe
from onggi.runtime.compile.mounts import parse

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.engine.userns.maps import IdMaps
    from onggi.images.snapshots.protocol import Mount

CHUNK_BYTES = 1 << 20
PIPE_BYTES = 4 << 20


def open_root(engine: Engine, container: Container, *, writable: bool = False) -> int:
    """A descriptor of the root; the caller closes it. Blocking; the container's lock is held.

    Raises System.
    Not `writable`, the upper directory of a container that does not run is shown without being mounted for
    writing, so that any number may look at once; two writable overlays on one upper directory are undefined
    (Documentation/filesystems/overlayfs.rst, "Sharing and copying layers"): a writer keeps the lock to
    its end.
    """
    record = container.record
    try:
        if container.running:
            return view.open_running(record.root_pid or record.pid)
        binds = _binds(engine, record, writable=writable)
        try:
            return view.open_root(_mounts(engine, record, writable=writable), binds)
        except OSError as error:
            if writable or error.errno != errno.EROFS:
                raise
        # A mount point of a container that never ran is not there yet: it is made as the start would make it.
        os.close(view.open_root(_mounts(engine, record, writable=True), binds))
        return view.open_root(_mounts(engine, record, writable=False), binds)
    except OSError as error:
        raise System(f"cannot open the root of container {record.id}: {error}") from error


def owners(container: Container) -> IdMaps | None:
    """What owners seen through the root mean inside; None: what they are. A root that does not run is looked
    at as it lies on disk, where all ids are the container's.
    """
    return container.record.id_maps if container.running else None


def _mounts(engine: Engine, record: ContainerRecord, *, writable: bool) -> list[Mount]:
    return init_layer.mounts(engine, record) if writable else init_layer.seen(engine, record)


def _binds(engine: Engine, record: ContainerRecord, *, writable: bool) -> list[tuple[Mount, list[str]]]:
    """What the user mounted, in memory excepted. An idmap is left out: who copies is the host's root."""
    shown = [
        msgspec.structs.replace(mount, uid_map=(), gid_map=())
        for mount in mount_sources.shown(engine, record, writable=writable)
        if mount.record.type != "tmpfs"
    ]
    return [
        (parse(entry, mount.target, ""), [f"{mount.target}/{path}" for path in mount.record.exclude])
        for mount, entry in zip(oci_mounts.ordered(shown), oci_mounts.user_mounts(shown), strict=True)
    ]


def open_exported(engine: Engine, container: Container) -> int:
    """The same without volumes and other mounts, as `export` and `commit` see it. Blocking. Raises System."""
    record = container.record
    try:
        if container.running:
            return view.open_running_alone(record.root_pid or record.pid)
        return view.open_root(_mounts(engine, record, writable=False))
    except OSError as error:
        raise System(f"cannot open the root of container {record.id}: {error}") from error


class Archive:
    """What `write` puts into a pipe, in a thread of its own, as a stream. Owns `root_fd`.

    The thread starts with the first read, and is ended by a reader that goes away: its next write fails.
    Whoever does not read calls `aclose`, which a generator that never began would ignore.
    """

    def __init__(self, engine: Engine, root_fd: int, write: Callable[[int, Pipe], object]) -> None:
        self._engine = engine
        self._root_fd = root_fd
        self._write = write
        self._pipe = Pipe(PIPE_BYTES)
        self._started = False

    def __aiter__(self) -> Archive:
        return self

    async def __anext__(self) -> bytes:
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="archive", daemon=True).start()
        data = await self._engine.offload(self._pipe.read, CHUNK_BYTES)
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """The reader wants no more; a second call does nothing."""
        self._pipe.close()
        if not self._started:
            self._started = True
            os.close(self._root_fd)
            self._pipe.end()

    def _run(self) -> None:
        try:
            self._write(self._root_fd, self._pipe)
            self._pipe.end()
        except BrokenPipeError:
            self._pipe.end()
        except OSError as error:
            self._pipe.end(System(f"cannot make the archive: {error}"))
        except BaseException as error:  # handed to the reader, which raises it
            self._pipe.end(error)
        finally:
            os.close(self._root_fd)


async def consume(engine: Engine, body: AsyncIterator[bytes], read: Callable[[Pipe], object]) -> None:
    """Run `read` in a thread with the bytes of `body`; raises what it raises. The body may be left unread.

    They are handed on without a change of threads as long as there is room.
    """
    pipe = Pipe(PIPE_BYTES)
    task = asyncio.ensure_future(engine.offload(_read_and_close, pipe, read))
    try:
        async for data in body:
            if not pipe.offer(data):
                await engine.offload(pipe.drain)
        pipe.end()
    except BrokenPipeError:
        pass  # `read` has ended before the body: its result or its error is what counts
    except BaseException:
        pipe.end(System("the archive was cut off"))
        await asyncio.gather(task, return_exceptions=True)
        raise
    await task


def _read_and_close(pipe: Pipe, read: Callable[[Pipe], object]) -> None:
    try:
        read(pipe)
        while pipe.read(CHUNK_BYTES):
            pass  # what follows an archive's trailer, so that the client can end its request
    finally:
        pipe.close()

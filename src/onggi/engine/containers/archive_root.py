"""The root of a container for the archive verbs, running or not, and archives that pass between the colours.

A running container is seen through /proc/PID/root with all its mounts; another one through its snapshot with
its volumes and binds mounted in a view that nobody else sees (images/view.py).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from onggi.errors import System
from onggi.images import view
from onggi.images.pipe import Pipe

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine

CHUNK_BYTES = 256 << 10
PIPE_BYTES = 2 << 20


def open_root(engine: Engine, container: Container) -> int:
    """A descriptor of the root; the caller closes it. Blocking. Raises System."""
    record = container.record
    try:
        if container.running:
            return view.open_running(record.pid)
        binds = [
            (mount.source, mount.target, mount.read_only)
            for mount in record.mounts
            if mount.type in ("bind", "volume") and mount.source
        ]
        return view.open_root(engine.snapshots.mounts(record.snapshot), binds)
    except OSError as error:
        raise System(f"cannot open the root of container {record.id}: {error}") from error


def open_exported(engine: Engine, container: Container) -> int:
    """The same without volumes and other mounts, as `export` and `commit` see it. Blocking. Raises System."""
    record = container.record
    try:
        if container.running:
            return view.open_running_alone(record.pid)
        return view.open_root(engine.snapshots.mounts(record.snapshot))
    except OSError as error:
        raise System(f"cannot open the root of container {record.id}: {error}") from error


async def produce(engine: Engine, root_fd: int, write: Callable[[int, Pipe], object]) -> AsyncIterator[bytes]:
    """What `write` puts into the pipe, in a thread of its own; takes over and closes `root_fd`.

    A reader that goes away ends the thread: its next write fails.
    """
    pipe = Pipe(PIPE_BYTES)

    def run() -> None:
        try:
            write(root_fd, pipe)
            pipe.end()
        except BrokenPipeError:
            pipe.end()
        except OSError as error:
            pipe.end(System(f"cannot make the archive: {error}"))
        except BaseException as error:  # handed to the reader, which raises it
            pipe.end(error)
        finally:
            os.close(root_fd)

    threading.Thread(target=run, name="archive", daemon=True).start()
    try:
        while data := await engine.offload(pipe.read, CHUNK_BYTES):
            yield data
    finally:
        pipe.close()


async def consume(engine: Engine, body: AsyncIterator[bytes], read: Callable[[Pipe], object]) -> None:
    """Run `read` in a thread with the bytes of `body`; raises what it raises. The body may be left unread."""
    pipe = Pipe(PIPE_BYTES)
    task = asyncio.ensure_future(engine.offload(_read_and_close, pipe, read))
    try:
        async for data in body:
            await engine.offload(pipe.write, data)
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

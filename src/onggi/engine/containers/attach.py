"""Connect a client to a container's streams; the bytes go between the client and the shim alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from onggi.engine import run
from onggi.engine.attach_options import detach_keys as parse_keys
from onggi.engine.shims import AttachOptions, ShimGone
from onggi.engine.status import Status
from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.exec_.start import Hijacked
    from onggi.engine.shims import Attached, Shim


async def attach(
    engine: Engine,
    name: str,
    *,
    hijack: Callable[[], Awaitable[Hijacked]],
    stream: bool = True,
    stdin: bool = False,
    stdout: bool = True,
    stderr: bool = True,
    logs: bool = False,
    detach_keys: str = "",
    framed: bool = True,
) -> None:
    """Returns when the shim has the connection; without a terminal the output has stream heads if
    `framed`. A container that is not started gets its shim now, so that nothing of its output is missed.

    Raises NoSuchContainer, Conflict (paused, restarting), InvalidParameter: all before the head is written.
    """
    keys = parse_keys(detach_keys)
    async with engine.containers.locked(name) as container:
        if container.status is Status.PAUSED:
            raise Conflict(f"container {name} is paused, unpause the container before attach")
        if container.status is Status.RESTARTING:
            raise Conflict(f"container {name} is restarting, wait until the container is running")
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {name} is marked for removal")
        stdin = stdin and container.record.config.open_stdin
        streams = stream and (stdin or stdout or stderr)  # with none of them dockerd ends at once
        shim = await run.waiting_shim(engine, container) if streams else None
        options = AttachOptions(
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            framed=framed and not container.record.config.tty,
            detach_keys=keys,
        )
        taken = await hijack()
        if not logs:
            await _connect(engine, container, shim, taken, options)
            return
    with taken.sock:
        # Without the lock: a client that reads slowly holds up neither a stop nor the note of the run's end.
        try:
            await _replay(engine, container, taken, stdout=stdout, stderr=stderr, framed=framed)
        except ConnectionError:
            return  # the client has gone
        await _connect(engine, container, shim, taken, options)


async def _connect(
    engine: Engine, container: Container, shim: Shim | None, taken: Hijacked, options: AttachOptions
) -> None:
    """Hand the connection to the shim, where there are streams to see, and let go of it."""
    with taken.sock:
        if shim is None:
            return
        try:
            attached = await shim.attach(taken.sock, taken.early, options)
        except ShimGone:
            return  # the run has just ended: there is nothing more to see than that
    engine.events.container("attach", container.record)
    engine.task(_watch(engine, container, shim, attached), f"attach {container.id[:12]}")


async def _watch(engine: Engine, container: Container, shim: Shim, attached: Attached) -> None:
    reason = await attached.ended
    if reason == "detached" and not container.removed:
        engine.events.container("detach", container.record)


async def _replay(
    engine: Engine, container: Container, taken: Hijacked, *, stdout: bool, stderr: bool, framed: bool
) -> None:
    """What was said so far, from the log, before what is said from now on."""
    from onggi.engine.containers.logs import logs as read_logs  # the reader of logs is asked for rarely

    chunks = await read_logs(engine, container.id, stdout=stdout, stderr=stderr, framed=framed)
    loop = asyncio.get_running_loop()
    async for chunk in chunks:
        await loop.sock_sendall(taken.sock, chunk)

"""`docker logs`: what a container wrote, from its json-file log, and with `follow` what it goes on to write.

The shim says when its log has grown (`Shim.log_grown`), so nobody polls. Following ends with the run.
Not here: the files (log_files.py), and writing them (spawn/log.py).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine import clock
from onggi.engine.containers.log_files import LogReader, Selection
from onggi.engine.streams import Begun
from onggi.errors import InvalidParameter, NotImplemented_
from onggi.spec.number import whole

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.shims import Shim


async def logs(
    engine: Engine,
    name: str,
    *,
    stdout: bool,
    stderr: bool,
    follow: bool = False,
    since: int = 0,
    until: int = 0,
    timestamps: bool = False,
    tail: str = "all",
    details: bool = False,
    framed: bool = True,
) -> AsyncIterator[bytes]:
    """Chunks of output, framed with Docker's stream heads unless the container has a terminal or `framed` is
    false.

    Instants in ns, 0 for none; `tail` is a number, and anything else means all (Docker's rule).
    Raises NoSuchContainer, InvalidParameter, NotImplemented_.
    """
    if not (stdout or stderr):
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    container = engine.containers.get(name)
    log_config = container.record.host_config.log_config
    if log_config is not None and log_config.type == "none":
        raise NotImplemented_("configured logging driver does not support reading")
    selection = Selection(
        stdout=stdout,
        stderr=stderr,
        since=since,
        until=until,
        tail=whole(tail, sys.maxsize),
        timestamps=timestamps,
        details=details,
        framed=framed and not container.record.config.tty,
    )
    shim = container.shim if follow and container.running else None
    reader = await engine.offload(LogReader, engine.paths.log(container.id), selection)

    async def leave() -> None:
        reader.close()

    return Begun(_stream(engine, reader, shim, until), leave)


async def _stream(
    engine: Engine, reader: LogReader, shim: Shim | None, until: int
) -> AsyncGenerator[bytes, None]:
    try:
        grown = None if shim is None else await shim.log_grown(-1)
        while True:
            chunks = reader.chunks()
            while (chunk := await engine.offload(next, chunks, None)) is not None:
                yield chunk
            if grown is None or shim is None or reader.done:
                return
            grown = await _wait(shim, grown, until)
    finally:
        reader.close()


async def _wait(shim: Shim, seen: int, until: int) -> int | None:
    """More log, or None: there will be none that is wanted."""
    if not until:
        return await shim.log_grown(seen)
    try:
        return await asyncio.wait_for(shim.log_grown(seen), max(0, until - clock.now()) / clock.SECOND)
    except TimeoutError:
        return None

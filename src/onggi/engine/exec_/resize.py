"""Set the size of an exec's terminal."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from onggi.engine.shims import ShimGone
from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


BEGIN_SECONDS = 10.0  # dockerd's


async def resize(engine: Engine, exec_id: str, *, rows: int, columns: int) -> None:
    """One that is just being started is waited for: its client has seen the answer's head, and asks at once.

    Raises NoSuchExec, Conflict (not running, no terminal).
    """
    instance = engine.execs.get(exec_id)
    if instance.started:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(instance.begun.wait(), BEGIN_SECONDS)
    if not instance.running or instance.shim is None:
        raise Conflict(f"exec {exec_id} is not running")
    try:
        await instance.shim.resize(rows, columns, exec_id)
    except ShimGone:
        raise Conflict(f"exec {exec_id} is not running") from None

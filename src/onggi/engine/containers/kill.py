"""Send a signal to a container's init."""

from __future__ import annotations

import signal as signals_
from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import run_paths, signals
from onggi.engine.containers.stop import send, stop_signal
from onggi.engine.status import Status
from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def kill(engine: Engine, name: str, *, signal: str = "") -> None:
    """SIGKILL, or the signal named. SIGKILL waits for the end, and like the stop signal ends the restarts.

    Raises NoSuchContainer, Conflict (it does not run), InvalidParameter.
    Failpoints: kill.row-written, kill.signalled.
    """
    number = signals.parse(signal) if signal else int(signals_.SIGKILL)
    async with engine.containers.locked(name) as container:
        if not container.running:
            raise Conflict(f"cannot kill container: {name}: container {container.id} is not running")
        ended = container.next_exit()
        final = number in (signals_.SIGKILL, stop_signal(container))
        container.update(manually_stopped=True, exit_on_next=container.record.exit_on_next or final)
        failpoints.hit("kill.row-written")
        await send(engine, container, number)
        failpoints.hit("kill.signalled")
        if number == signals_.SIGKILL and container.status is Status.PAUSED:
            await engine.offload(run_paths.thaw, engine, container.record)
    if number == signals_.SIGKILL:
        await ended
    else:
        ended.cancel()

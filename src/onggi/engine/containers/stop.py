"""Stop a container: its stop signal, patience, then SIGKILL."""

from __future__ import annotations

import asyncio
import signal as signals_
from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import restart_policy, run_paths, runtimes, signals
from onggi.engine.config import DEFAULT_STOP_SECONDS
from onggi.engine.shims import ShimGone
from onggi.engine.status import Status
from onggi.errors import Conflict, NotModified

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container, Exit
    from onggi.engine.engine import Engine


async def stop(engine: Engine, name: str, *, timeout: int | None = None, signal: str = "") -> None:  # noqa: ASYNC109 - Docker's word, seconds
    """Stop and wait for the end. `timeout` in seconds: None is the container's own, -1 waits for ever.

    The lock is held while signals are sent, not while waiting. Commit point: `exit_on_next` in the row; from
    there on no restart policy answers the exit. Failpoints: stop.row-written, stop.signalled, stop.killed.
    Raises NoSuchContainer, NotModified (it does not run), InvalidParameter.
    """
    number = signals.parse(signal) if signal else 0
    async with engine.containers.locked(name) as container:
        if container.status is Status.RESTARTING:
            restart_policy.give_up(engine, container)
            return
        if not container.running:
            raise NotModified(f"Container {container.id} is already stopped")
        ended = await begin(engine, container, number or stop_signal(container))
    await finish(engine, container, ended, patience(container, timeout))
    engine.events.container("stop", container.record)


def stop_signal(container: Container) -> int:
    """The container's own, else SIGTERM."""
    wanted = container.record.config.stop_signal
    return signals.parse(wanted) if wanted else int(signals_.SIGTERM)


def patience(container: Container, timeout: int | None) -> float | None:
    """Seconds until SIGKILL; None for ever."""
    own = container.record.config.stop_timeout
    seconds = timeout if timeout is not None else (own if own is not None else DEFAULT_STOP_SECONDS)
    return None if seconds < 0 else float(seconds)


async def begin(engine: Engine, container: Container, number: int) -> asyncio.Future[Exit]:
    """Send the first signal; the lock is held. The future resolves at the run's end."""
    ended = container.next_exit()
    container.update(manually_stopped=True, exit_on_next=True)
    failpoints.hit("stop.row-written")
    await send(engine, container, number)
    failpoints.hit("stop.signalled")
    if container.status is Status.PAUSED:
        await engine.offload(run_paths.thaw, engine, container.record)
    return ended


async def finish(
    engine: Engine, container: Container, ended: asyncio.Future[Exit], seconds: float | None
) -> None:
    """Wait for the end; SIGKILL for every process of the container when patience is over."""
    done, _ = await asyncio.wait([ended], timeout=seconds)
    if done:
        return
    await kill_all(engine, container)
    failpoints.hit("stop.killed")
    await ended


async def kill_all(engine: Engine, container: Container) -> None:
    """SIGKILL to every process in the container's cgroup, which thaws it too; v1 and v2."""
    await send(engine, container, signals_.SIGKILL)
    await engine.offload(run_paths.kill, engine, container.record)


async def send(engine: Engine, container: Container, number: int) -> None:
    """A signal to init; one that has ended meanwhile is no fault."""
    shim = container.shim
    if shim is None:
        return
    try:
        if container.record.runtime and number != signals_.SIGKILL:
            await engine.offload(runtimes.kill, container.record, int(number))
        else:
            await shim.signal(int(number))  # marshal takes no IntEnum
    except (Conflict, ShimGone):  # it has ended, and with it perhaps its shim already
        return
    engine.events.container("kill", container.record, signal=str(int(number)))

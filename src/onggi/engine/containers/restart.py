"""Stop a container if it runs, and start it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import run, signals
from onggi.engine.containers import stop as stops
from onggi.engine.status import Status
from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def restart(engine: Engine, name: str, *, timeout: int | None = None, signal: str = "") -> None:  # noqa: ASYNC109 - Docker's word, seconds
    """Commit points: those of stop, then of start. Failpoints: restart.stopped, restart.started.

    Raises NoSuchContainer, Conflict, StartFailed.
    """
    number = signals.parse(signal) if signal else 0
    async with engine.containers.locked(name) as container:
        ended = None
        if container.running:
            ended = await stops.begin(engine, container, number or stops.stop_signal(container))
            container.keep_once = True
    if ended is not None:
        await stops.finish(engine, container, ended, stops.patience(container, timeout))
        failpoints.hit("restart.stopped")
    async with engine.containers.locked(container.id):
        container.keep_once = False
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict("container is marked for removal and cannot be started")
        if container.restart_task is not None:
            container.restart_task.cancel()
            container.restart_task = None
        if not container.running:
            await run.begin(engine, container)
    failpoints.hit("restart.started")
    engine.events.container("restart", container.record)

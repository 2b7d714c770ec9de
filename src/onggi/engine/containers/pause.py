"""Freeze every process of a running container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import run_paths
from onggi.engine.status import Event, Status, after
from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def pause(engine: Engine, name: str) -> None:
    """Commit point: the row. Failpoint: pause.frozen. Raises NoSuchContainer, Conflict, System."""
    async with engine.containers.locked(name) as container:
        if container.status is Status.PAUSED:
            raise Conflict(f"Container {container.id} is already paused")
        if container.status is Status.RESTARTING:
            raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
        if not container.running:
            raise Conflict(f"Container {container.id} is not running")
        status = after(container.status, Event.PAUSE)
        if not await engine.offload(run_paths.freeze, engine, container.record):
            raise Conflict(f"Container {container.id} is not running")
        failpoints.hit("pause.frozen")
        container.update(status=status)
        engine.events.container("pause", container.record)

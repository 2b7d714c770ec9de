"""Thaw a paused container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import run_paths
from onggi.engine.status import Event, Status, after
from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def unpause(engine: Engine, name: str) -> None:
    """Commit point: the row. Failpoint: unpause.thawed. Raises NoSuchContainer, Conflict, System."""
    async with engine.containers.locked(name) as container:
        if container.status is not Status.PAUSED:
            raise Conflict(f"Container {container.id} is not paused")
        await engine.offload(run_paths.thaw, engine, container.record)
        failpoints.hit("unpause.thawed")
        container.update(status=after(container.status, Event.UNPAUSE))
        engine.events.container("unpause", container.record)

"""Start a container that does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import run
from onggi.engine.status import Status
from onggi.errors import Conflict, NotModified

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def start(engine: Engine, name: str) -> None:
    """Start; a container that waits for its restart is started now. Commit point: see run.begin.

    Raises NoSuchContainer, NotModified (it runs), Conflict, StartFailed, System.
    """
    async with engine.containers.locked(name) as container:
        match container.status:
            case Status.PAUSED:
                raise Conflict("cannot start a paused container, try unpause instead")
            case Status.RUNNING:
                raise NotModified(f"Container {container.id} is already started")
            case Status.REMOVING | Status.DEAD:
                raise Conflict("container is marked for removal and cannot be started")
        if container.restart_task is not None:
            container.restart_task.cancel()
            container.restart_task = None
        if container.record.restart_count:
            container.update(restart_count=0)
        await run.begin(engine, container)

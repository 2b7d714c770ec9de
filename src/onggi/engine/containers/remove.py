"""Remove a container with everything that it owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import restart_policy
from onggi.engine.containers import stop as stops
from onggi.engine.containers.discard import discard
from onggi.engine.networks.unlink import unlink
from onggi.engine.status import Event, Status, after
from onggi.errors import Conflict, OnggiError, System

if TYPE_CHECKING:
    import asyncio

    from onggi.engine.containers.table import Container, Exit
    from onggi.engine.engine import Engine


async def remove(
    engine: Engine, name: str, *, force: bool = False, volumes: bool = False, link: bool = False
) -> None:
    """Remove; `force` kills it first, `volumes` removes its anonymous ones; `link`: `web/alias` is a link.

    Commit point: status `removing` in the row; from there on a crash is finished by reconcile.py.
    Failpoints: remove.killed, remove.row-written, remove.cgroup-gone, remove.snapshot-gone,
    remove.directory-gone, remove.volumes-gone.
    Raises NoSuchContainer, Conflict, System (then the container is dead).
    """
    if link:
        await unlink(engine, name)
        return
    async with engine.containers.locked(name) as container:
        if container.status is Status.REMOVING:
            raise Conflict(f"removal of container {name} is already in progress")
        if not force:
            _refuse_running(container)
        ended = await _remove(engine, container, volumes=volumes)
    while ended is not None:
        await ended
        async with container.lock:  # by now somebody else may have removed it, or started it again
            ended = None if container.removed else await _remove(engine, container, volumes=volumes)


async def _remove(engine: Engine, container: Container, *, volumes: bool) -> asyncio.Future[Exit] | None:
    """Remove what does not run; else kill it, and give what resolves at its end. The lock is held."""
    if container.status is Status.RESTARTING:
        restart_policy.give_up(engine, container)
    if not container.running:
        await remove_stopped(engine, container, volumes=volumes)
        return None
    container.keep_once = True
    ended = container.next_exit()
    container.update(manually_stopped=True, exit_on_next=True)
    await stops.kill_all(engine, container)
    failpoints.hit("remove.killed")
    return ended


def _refuse_running(container: Container) -> None:
    if container.status is Status.PAUSED:
        raise Conflict(
            f'cannot remove container "/{container.name}": container is paused and must be unpaused first'
        )
    if container.running or container.status is Status.RESTARTING:
        raise Conflict(
            f'cannot remove container "/{container.name}": container is {container.status}: '
            "stop the container before removing or force remove"
        )


async def remove_stopped(engine: Engine, container: Container, *, volumes: bool) -> None:
    """The removal itself; the lock is held and nothing runs. Raises System."""
    container.update(status=after(container.status, Event.REMOVE), remove_volumes=volumes)
    failpoints.hit("remove.row-written")
    record = container.record
    try:
        await discard(engine, container, volumes=volumes)
    except (OnggiError, OSError) as error:
        container.update(status=after(container.status, Event.REMOVE_FAILED), error=str(error))
        raise System(f'unable to remove container "/{record.name}": {error}') from error
    engine.events.container("destroy", record)

"""Remove every stopped container that the filters let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import filters
from onggi.engine.containers.remove import remove_stopped
from onggi.engine.status import Status
from onggi.wire.containers import ContainersPruneResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

KNOWN = frozenset({"label", "label!", "until"})
STOPPED = (Status.CREATED, Status.EXITED, Status.DEAD)


async def prune(engine: Engine, wanted: filters.Filters, *, dry_run: bool = False) -> ContainersPruneResponse:
    """Filters: label, label!, until. With `dry_run` nothing is removed.

    Raises InvalidParameter, System (what could not be removed).
    """
    filters.check(wanted, KNOWN)
    until = filters.until(wanted)
    removed, reclaimed = [], 0
    for container in engine.containers.all():
        async with container.lock:
            record = container.record
            stale = not until or record.created_at < until
            if container.removed or container.status not in STOPPED or not stale or not record.complete:
                continue
            if not filters.labels_pass(record.config.labels, wanted):
                continue
            usage = await engine.offload(engine.snapshots.usage, record.snapshot)
            if not dry_run:
                await remove_stopped(engine, container, volumes=False)
            removed.append(record.id)
            reclaimed += usage.bytes
    if not dry_run:
        engine.events.emit("container", "prune", "", {"reclaimed": str(reclaimed)})
    return ContainersPruneResponse(containers_deleted=removed, space_reclaimed=reclaimed, dry_run=dry_run)

"""Remove the volumes that no container has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.volumes.record import ANONYMOUS_LABEL, all_, users
from onggi.engine.volumes.remove import remove
from onggi.errors import Conflict, NoSuchVolume
from onggi.volumes import local
from onggi.wire.volumes import VolumesPruneResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset({"label", "label!", "all"})


async def prune(
    engine: Engine, filters: Filters, *, everything: bool = False, dry_run: bool = False
) -> VolumesPruneResponse:
    """Remove unused volumes: anonymous ones, or with `everything` or the filter `all` those with names too.

    With `dry_run` nothing is removed. Raises InvalidParameter.
    """
    filters_.check(filters, FILTERS)
    everything = everything or bool(filters_.truth(filters, "all"))
    removed: list[str] = []
    reclaimed = 0
    for record in all_(engine):
        if not everything and ANONYMOUS_LABEL not in record.labels:
            continue
        if not filters_.labels_pass(record.labels, filters) or users(engine, record.name):
            continue
        size = await engine.offload(local.usage_bytes, engine.paths.volume_data(record.name))
        try:
            if not dry_run:
                await remove(engine, record.name)
        except (Conflict, NoSuchVolume):
            continue  # a container took it, or somebody removed it, while its size was taken
        removed.append(record.name)
        reclaimed += size
    if not dry_run:
        engine.events.emit("volume", "prune", "", {"reclaimed": str(reclaimed)})
    return VolumesPruneResponse(volumes_deleted=removed, space_reclaimed=reclaimed, dry_run=dry_run)

"""Remove the volumes that no container has."""

from __future__ import annotations

from collections.abc import Set
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
    engine: Engine,
    filters: Filters,
    *,
    everything: bool = False,
    dry_run: bool = False,
    without: Set[str] = frozenset(),
) -> VolumesPruneResponse:
    """Remove unused volumes: anonymous ones, or with `everything` or the filter `all` those with names too.

    Volumes with options stay, as in Docker: what they name (a share of a server) is not ours to take away.
    With `dry_run` nothing is removed; `without` are ids of containers that are taken as gone.
    Raises InvalidParameter.
    """
    filters_.check(filters, FILTERS)
    named_too = filters_.truth(filters, "all")
    everything = everything or bool(named_too)
    removed: list[str] = []
    reclaimed = 0
    for record in all_(engine):
        if record.options or (not everything and ANONYMOUS_LABEL not in record.labels):
            continue
        if not filters_.labels_pass(record.labels, filters) or set(users(engine, record.name)) - without:
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

"""Remove every user-defined network that no container, running or not, is in."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from onggi.engine import clock, filters
from onggi.engine.networks.remove import remove
from onggi.engine.networks.table import PREDEFINED
from onggi.errors import Forbidden
from onggi.wire.networks import NetworksPruneResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

KNOWN = frozenset({"label", "label!", "until"})


async def prune(
    engine: Engine, wanted: filters.Filters, *, dry_run: bool = False, without: Set[str] = frozenset()
) -> NetworksPruneResponse:
    """Filters: label, label!, until. With `dry_run` nothing is removed; `without` are ids of
    containers that are taken as gone.

    Raises InvalidParameter, System (what could not be removed).
    """
    filters.check(wanted, KNOWN)
    until = filters.until(wanted)
    others = [container for container in engine.containers.all() if container.id not in without]
    used = {name for container in others for name in container.record.asked_endpoints}
    removed = []
    for network in engine.networks.all():
        created = clock.parse_instant(network.created)
        if network.name in PREDEFINED or network.name in used or (until and created >= until):
            continue
        if not filters.labels_pass(network.labels, wanted):
            continue
        try:
            if not dry_run:
                await remove(engine, network.id)
        except Forbidden:
            continue  # a container has joined meanwhile
        removed.append(network.name)
    if not dry_run:
        engine.events.emit("network", "prune", "", {"reclaimed": "0"})
    return NetworksPruneResponse(networks_deleted=removed, dry_run=dry_run)

"""Remove every user-defined network that no container, running or not, is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import clock, filters
from onggi.engine.networks.remove import remove
from onggi.engine.networks.table import PREDEFINED
from onggi.errors import Forbidden
from onggi.wire.networks import NetworksPruneResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

KNOWN = frozenset({"label", "label!", "until"})


async def prune(engine: Engine, wanted: filters.Filters, *, dry_run: bool = False) -> NetworksPruneResponse:
    """Filters: label, label!, until. With `dry_run` nothing is removed.

    Raises InvalidParameter, System (what could not be removed).
    """
    filters.check(wanted, KNOWN)
    until = min((clock.parse_instant(text) for text in wanted.get("until", ())), default=0)
    used = {name for container in engine.containers.all() for name in container.record.asked_endpoints}
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

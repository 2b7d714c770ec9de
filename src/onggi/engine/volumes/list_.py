"""List volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.volumes.record import VolumeRecord, all_, shown
from onggi.wire.volumes import VolumeListResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset({"dangling", "driver", "label", "name"})


async def list_(engine: Engine, filters: Filters) -> VolumeListResponse:
    """The volumes that pass the filters, by name. Raises InvalidParameter."""
    filters_.check(filters, FILTERS)
    dangling = filters_.truth(filters, "dangling")
    used = _used(engine) if dangling is not None else set()
    names = filters_.Names("name", filters.get("name", ()))
    volumes = [
        shown(engine, record)
        for record in all_(engine)
        if _passes(record, filters, names) and (dangling is None or (record.name not in used) is dangling)
    ]
    return VolumeListResponse(volumes=volumes)


def _used(engine: Engine) -> set[str]:
    return {
        mount.name
        for container in engine.containers.all()
        for mount in container.record.mounts
        if mount.type == "volume"
    }


def _passes(record: VolumeRecord, filters: Filters, names: filters_.Names) -> bool:
    drivers = filters.get("driver", ())
    return (
        (not filters.get("name") or names.find(record.name))
        and (not drivers or "local" in drivers)
        and filters_.labels_match(record.labels, filters.get("label", ()))
    )

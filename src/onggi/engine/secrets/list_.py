"""List secrets or configs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.secrets.record import CONFIG, Kind, SecretRecord, all_, data, shown
from onggi.wire.secrets import Secret

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset({"id", "label", "name", "names"})


async def list_(engine: Engine, kind: Kind, filters: Filters) -> list[Secret]:
    """Those that pass the filters, by name. Raises InvalidParameter, Corrupt.

    `name` and `id` are beginnings, `names` are whole: swarm's ListSecretsRequest.
    """
    filters_.check(filters, FILTERS)
    found = [record for record in all_(engine, kind) if _passes(record, filters)]
    if kind is not CONFIG:
        return [shown(record) for record in found]
    return await engine.offload(
        lambda: [shown(record, data(engine, kind, record)) for record in found],
    )


def _passes(record: SecretRecord, filters: Filters) -> bool:
    exact, names, ids = (filters.get(key, ()) for key in ("names", "name", "id"))
    return (
        (not exact or record.name in exact)
        and (not names or record.name.startswith(tuple(names)))
        and (not ids or record.id.startswith(tuple(ids)))
        and filters_.labels_match(record.labels, filters.get("label", ()))
    )

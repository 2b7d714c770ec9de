"""Everything about a secret or a config; of a secret all but what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.secrets.record import CONFIG, Kind, data, get, shown
from onggi.wire.secrets import Secret

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, kind: Kind, reference: str) -> Secret:
    """Raises NotFound, InvalidParameter (ambiguous), Corrupt."""
    record = get(engine, kind, reference)
    if kind is CONFIG:
        return shown(record, await engine.offload(data, engine, kind, record))
    return shown(record)

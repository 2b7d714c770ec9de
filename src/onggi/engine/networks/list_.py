"""List networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.networks.inspect import inspected
from onggi.wire.networks import NetworkInspect

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def list_(engine: Engine) -> list[NetworkInspect]:
    """Every network, newest first, as GET /networks answers (without containers)."""
    return [inspected(network) for network in reversed(engine.networks.all())]

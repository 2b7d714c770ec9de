"""Remove a network.

Commit point: the row's end, after link and rules are gone; a crash before it leaves a network that can be
removed again, or used. Failpoint: network.link-gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.networks.table import PREDEFINED
from onggi.errors import Forbidden

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.wire.networks import Network


async def remove(engine: Engine, reference: str) -> None:
    """Raises NoSuchNetwork, InvalidParameter, Forbidden (predefined, in use), System."""
    network = engine.networks.get(reference)
    if network.name in PREDEFINED:
        raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
    in_use(engine, network)
    await engine.offload(engine.networks.delete, network)
    engine.events.emit("network", "destroy", network.id, {"name": network.name, "type": network.driver})


def in_use(engine: Engine, network: Network) -> None:
    """Raises Forbidden in Docker's words when a running container is in it, or a network is made from it."""
    members = engine.networks.endpoints(network_id=network.id)
    if members:
        shown = []
        for container_id, endpoint in members:
            container = engine.containers.find(container_id)
            name = container.name if container is not None else container_id[:12]
            shown.append(f'name:"{name}" id:"{endpoint.endpoint_id[:12]}"')
        raise Forbidden(
            f"error while removing network: network {network.name} has active endpoints ({', '.join(shown)})"
        )
    if network.config_only and any(
        other.config_from.network == network.name for other in engine.networks.all()
    ):
        raise Forbidden(f"configuration network {network.name} is in use")

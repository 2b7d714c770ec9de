"""Inspect one network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine.networks.table import PREDEFINED
from onggi.wire.networks import EndpointResource, EndpointSettings, Network, NetworkInspect

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, reference: str) -> NetworkInspect:
    """One network with the containers that are in it. Raises NoSuchNetwork, InvalidParameter."""
    network = engine.networks.get(reference)
    if network.driver == "bridge":
        listed = engine.networks.endpoints(network_id=network.id)
        members = [(container_id, endpoint) for container_id, endpoint in listed]
    else:
        members = [
            (container.id, EndpointSettings(network_id=network.id))
            for container in engine.containers.all()
            if container.running and container.record.host_config.network_mode == network.name
        ]
    return msgspec.structs.replace(
        inspected(network), containers={cid: _resource(engine, cid, endpoint) for cid, endpoint in members}
    )


def inspected(network: Network) -> NetworkInspect:
    """The network itself as inspect and list show it."""
    values = {name: getattr(network, name) for name in Network.__struct_fields__}
    return NetworkInspect(**values)


def predefined(name: str) -> bool:
    """Is it one of the three that cannot be removed?"""
    return name in PREDEFINED


def _resource(engine: Engine, container_id: str, endpoint: EndpointSettings) -> EndpointResource:
    container = engine.containers.find(container_id)
    address = f"{endpoint.ip_address}/{endpoint.ip_prefix_len}" if endpoint.ip_address else ""
    return EndpointResource(
        name=container.name if container is not None else "",
        endpoint_id=endpoint.endpoint_id,
        mac_address=endpoint.mac_address,
        ipv4_address=address,
    )

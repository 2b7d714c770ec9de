"""Inspect one network."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.networks.table import PREDEFINED
from onggi.errors import NoSuchNetwork
from onggi.wire.networks import (
    EndpointResource,
    EndpointSettings,
    IPAMStatus,
    Network,
    NetworkInspect,
    NetworkStatus,
    SubnetStatus,
)

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, reference: str, *, scope: str = "") -> NetworkInspect:
    """One network with the containers that are in it. Raises NoSuchNetwork, InvalidParameter."""
    network = engine.networks.get(reference)
    if scope not in ("", network.scope):
        raise NoSuchNetwork(reference)
    if network.driver in ("host", "null") and not network.config_only:
        members = [
            (container.id, EndpointSettings(network_id=network.id))
            for container in engine.containers.all()
            if container.running and container.record.host_config.network_mode == network.name
        ]
    else:
        members = engine.networks.endpoints(network_id=network.id)
    return msgspec.structs.replace(
        inspected(network),
        containers={cid: _resource(engine, cid, endpoint) for cid, endpoint in members},
        status=_status(engine, network),
    )


def inspected(network: Network) -> NetworkInspect:
    """The network itself as inspect and list show it."""
    values = {name: getattr(network, name) for name in Network.__struct_fields__}
    return NetworkInspect(**values)


def predefined(name: str) -> bool:
    """Is it one of the three that cannot be removed?"""
    return name in PREDEFINED


def _status(engine: Engine, network: Network) -> NetworkStatus | None:
    live = engine.networks.known(network.id)
    if live is None:
        return None
    found = {}
    for pool in (live.addresses4, live.addresses6):
        if pool is not None:
            free = min(pool.free, 2**63 - 1)
            ends = 2 if isinstance(pool.subnet, ipaddress.IPv4Network) else 1
            found[str(pool.subnet)] = SubnetStatus(ips_in_use=pool.in_use + ends, dynamic_ips_available=free)
    return NetworkStatus(ipam=IPAMStatus(subnets=found))


def _resource(engine: Engine, container_id: str, endpoint: EndpointSettings) -> EndpointResource:
    container = engine.containers.find(container_id)
    address6 = endpoint.global_ipv6_address
    return EndpointResource(
        name=container.name if container is not None else "",
        endpoint_id=endpoint.endpoint_id,
        mac_address=endpoint.mac_address,
        ipv4_address=f"{endpoint.ip_address}/{endpoint.ip_prefix_len}" if endpoint.ip_address else "",
        ipv6_address=f"{address6}/{endpoint.global_ipv6_prefix_len}" if address6 else "",
    )

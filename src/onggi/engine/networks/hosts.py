"""Lines of /etc/hosts that a container's networks give it: --add-host with host-gateway, --link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.containers import etc_files
from onggi.engine.networks import links

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


def write(engine: Engine, directory: str, record: ContainerRecord, *, resolver: bool) -> None:
    """Write the three files of /etc, with what the networks know.

    Raises NoSuchContainer, Conflict, OSError.
    """
    endpoints = record.endpoints.values()
    both = [address for item in endpoints for address in (item.ip_address, item.global_ipv6_address)]
    etc_files.write(
        directory,
        record,
        engine.config,
        addresses=[address for address in both if address],
        extra_hosts=extra(engine, record),
        own_resolver=resolver,
    )


def extra(engine: Engine, record: ContainerRecord) -> list[str]:
    """`name:address` each. Raises NoSuchContainer, Conflict (a linked container does not run)."""
    found = []
    for item in record.host_config.extra_hosts:
        name, _, address = item.partition(":")
        if address != "host-gateway":
            found.append(item)
            continue
        found += [f"{name}:{gateway}" for gateway in _host_addresses(engine.config, record)]
    return found + [f"{name}:{address}" for names, address in links.hosts(engine, record) for name in names]


def _host_addresses(config: EngineConfig, record: ContainerRecord) -> list[str]:
    """What the engine was told, or else the host as the container reaches it: its gateways, or the loopback
    where the network is the host's.
    """
    if config.host_gateway_addresses:
        return list(config.host_gateway_addresses)
    if record.host_config.network_mode == "host":
        return ["127.0.0.1"]
    gateways = [item.gateway for item in record.endpoints.values() if item.gateway]
    six = [item.ipv6_gateway for item in record.endpoints.values() if item.ipv6_gateway]
    return [*gateways[:1], *six[:1]]

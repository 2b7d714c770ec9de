"""The networks that a create or connect request asks for, checked before anything is made.

Docker keeps them by the network's name; what was written as an id becomes the name where the network is
known. A network that does not exist is found at start, as with Docker.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.networks import bandwidth
from onggi.engine.networks.table import PREDEFINED
from onggi.errors import InvalidParameter
from onggi.wire.networks import EndpointIPAMConfig, EndpointSettings, Network

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.wire.containers import ContainerCreateRequest, HostConfig


INTERFACE_NAME = "com.docker.network.endpoint.ifname"
INTERFACE_SYSCTLS = "com.docker.network.endpoint.sysctls"
_SYSCTL = re.compile(r"net\.(ipv4|ipv6|mpls)\.([a-z_]+\.)?IFNAME\.[a-z0-9_]+", re.IGNORECASE)


def modes(mode: str) -> bool:
    """Is it the host's network, none, or another container's: no endpoint of one's own?"""
    return mode in ("host", "none") or mode.startswith("container:")


def endpoints(
    engine: Engine, request: ContainerCreateRequest, host: HostConfig
) -> dict[str, EndpointSettings]:
    """Name -> what was asked for, NetworkMode's first. Raises InvalidParameter."""
    asked = dict(request.networking_config.endpoints_config)
    mode = host.network_mode
    if "default" in asked:
        asked["bridge"] = asked.pop("default")
    if modes(mode):
        if len(asked) > 1:
            raise InvalidParameter(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
            )
        return {}
    found: dict[str, EndpointSettings] = {}
    for name in [mode, *sorted(key for key in asked if key != mode)]:
        network = engine.networks.find(name)
        key = network.name if network is not None else name
        if key in found:
            continue
        settings = asked.get(name) or (asked.get(network.id) if network else None) or EndpointSettings()
        found[key] = check(network, key, cleared(settings))
    first = next(iter(found))
    if request.mac_address and not found[first].mac_address:
        found[first] = msgspec.structs.replace(found[first], mac_address=request.mac_address)
    return found


def check(network: Network | None, name: str, settings: EndpointSettings) -> EndpointSettings:
    """Refuse what the network cannot give. Raises InvalidParameter."""
    ipam = settings.ipam_config or EndpointIPAMConfig()
    if name in PREDEFINED:
        if ipam.ipv4_address or ipam.ipv6_address:
            raise InvalidParameter(
                "invalid config for network bridge: invalid endpoint settings:\n"
                "user specified IP address is supported on user defined networks only"
            )
        if settings.aliases:
            raise InvalidParameter(
                "invalid config for network bridge: invalid endpoint settings:\n"
                "network-scoped alias is supported only for containers in user defined networks"
            )
    for address, version in ((ipam.ipv4_address, 4), (ipam.ipv6_address, 6)):
        if address:
            _static(network, name, address, version)
    for address in ipam.link_local_ips:
        _link_local(name, address)
    if settings.mac_address:
        mac_bytes(settings.mac_address)
    interface_name(settings, "")
    interface_sysctls(settings)
    bandwidth.check(network.driver if network else "bridge", name, settings.driver_opts)
    return settings


def _link_local(name: str, address: str) -> None:
    try:
        if ipaddress.ip_address(address).is_link_local:
            return
    except ValueError:
        pass
    raise InvalidParameter(
        f"invalid config for network {name}: invalid endpoint settings:\n"
        f"invalid link-local IP address: {address}"
    )


def link_locals(settings: EndpointSettings) -> list[tuple[str, int]]:
    """(address, prefix length) of --link-local-ip: the family's whole link-local net (RFC 3927, 4291)."""
    listed = settings.ipam_config.link_local_ips if settings.ipam_config is not None else []
    return [(address, 64 if ":" in address else 16) for address in listed]


def interface_name(settings: EndpointSettings, default: str) -> str:
    """The driver option com.docker.network.endpoint.ifname. Raises InvalidParameter."""
    name = settings.driver_opts.get(INTERFACE_NAME, "")
    if name and (len(name) > 15 or name in (".", "..", "lo") or any(c in "/:" or c <= " " for c in name)):
        raise InvalidParameter(f"invalid interface name: {name}")  # netdevice(7), dev_valid_name()
    return name or default


def interface_sysctls(settings: EndpointSettings) -> tuple[tuple[str, str], ...]:
    """The driver option com.docker.network.endpoint.sysctls: `net.ipv4.conf.IFNAME.log_martians=1,...`.

    Raises InvalidParameter.
    """
    found = []
    for item in filter(None, settings.driver_opts.get(INTERFACE_SYSCTLS, "").split(",")):
        key, equals, value = item.partition("=")
        if not equals or not _SYSCTL.fullmatch(key):
            raise InvalidParameter(
                f"unable to set network sysctl {item}: it has to be net.KIND.IFNAME.NAME=VALUE"
            )
        found.append((key.lower().replace(".ifname.", ".IFNAME."), value))  # docker's client lowers it
    return tuple(found)


def _static(network: Network | None, name: str, address: str, version: int) -> None:
    prefix = f"invalid config for network {name}: invalid endpoint settings:\n"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != version:
        raise InvalidParameter(f"{prefix}invalid IPv{version} address: {address}")
    if network is None:
        return
    nets = [ipaddress.ip_network(item.subnet) for item in network.ipam.config if item.subnet]
    if not any(parsed in net for net in nets if net.version == version):
        raise InvalidParameter(f"{prefix}no configured subnet contains IP address {address}")


def mac_bytes(text: str) -> bytes:
    """`02:42:ac:11:00:02` as six bytes. Raises InvalidParameter."""
    try:
        found = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        found = b""
    if len(found) != 6:
        raise InvalidParameter(f"invalid MAC address: {text}")
    return found


def cleared(settings: EndpointSettings) -> EndpointSettings:
    """What the user asked for, without what an engine made of it: clients send back what they inspected."""
    return EndpointSettings(
        ipam_config=settings.ipam_config,
        links=settings.links,
        aliases=settings.aliases,
        driver_opts=settings.driver_opts,
        gw_priority=settings.gw_priority,
        mac_address=settings.mac_address,
    )

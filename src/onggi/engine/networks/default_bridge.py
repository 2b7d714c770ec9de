"""The default bridge as the daemon's configuration wants it: dockerd's keys bip, fixed-cidr, default-gateway,
ip, icc, ip-masq, mtu, ipv6 and bridge. The row follows the configuration whenever no container is in it.

Sources: dockerd(8), and for what a key means beside another, the tests on a real dockerd.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.networks import bridge_options, live
from onggi.errors import InvalidParameter
from onggi.kernel.netlink import Route
from onggi.network.addresses import first_host
from onggi.wire.networks import IPAM, IPAMConfig, Network

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.network import subnets

_KEYS = {
    4: ("bip", "fixed-cidr", "default-gateway", live.DEFAULT_GATEWAYS[4]),
    6: ("bip6", "fixed-cidr-v6", "default-gateway-v6", live.DEFAULT_GATEWAYS[6]),
}


def configured(
    network: Network, config: EngineConfig, link: str, choose: Callable[[int], subnets.Network]
) -> Network:
    """The network with what the configuration says; `choose` gives a free subnet where it says nothing.

    Raises InvalidParameter (the keys contradict each other, the user's bridge is not there), Unavailable.
    """
    if config.bridge:
        _refuse_lacking(link)
    families = (4, 6) if config.ipv6 else (4,)
    wanted = [_family(network, config, link, version, choose) for version in families]
    return msgspec.structs.replace(
        network,
        enable_ipv6=config.ipv6,
        ipam=IPAM(driver="default", config=wanted),
        options=_options(config, link),
    )


def _options(config: EngineConfig, link: str) -> dict[str, str]:
    return {
        "com.docker.network.bridge.default_bridge": "true",
        bridge_options.ICC: str(config.icc).lower(),
        bridge_options.MASQUERADE: str(config.ip_masq).lower(),
        bridge_options.HOST_ADDRESS: config.default_host_address or "0.0.0.0",
        bridge_options.NAME: link,
        bridge_options.MTU: str(config.mtu or 1500),
    }


def _family(
    network: Network,
    config: EngineConfig,
    link: str,
    version: int,
    choose: Callable[[int], subnets.Network],
) -> IPAMConfig:
    """One family's subnet: the bridge's own, the configured one, what it had, or a free one."""
    bip = config.bip if version == 4 else config.bip6
    fixed = config.fixed_cidr if version == 4 else config.fixed_cidr_v6
    way = config.default_gateway if version == 4 else config.default_gateway_v6
    bip_key, fixed_key, way_key, auxiliary = _KEYS[version]
    have = live.pool(network, version)
    own = _address_of(link, version) if config.bridge else bip
    inner = ipaddress.ip_network(fixed, strict=False) if fixed else None
    if own:
        address = ipaddress.ip_interface(own)
        subnet, gateway = address.network, str(address.ip)
    elif inner is not None:
        subnet, gateway = inner, first_host(inner)
    elif have is not None and not have.ip_range:
        subnet = ipaddress.ip_network(have.subnet)
        gateway = have.gateway
    else:
        subnet = choose(version)
        gateway = first_host(subnet)
    if inner is not None and not (inner[0] in subnet and inner[-1] in subnet):
        raise InvalidParameter(f"{fixed_key} {fixed} is not within the subnet {subnet} of {bip_key}")
    if way and ipaddress.ip_address(way) not in subnet:
        raise InvalidParameter(f"{way_key} {way} is not in the subnet {subnet} of the default bridge")
    return IPAMConfig(
        subnet=str(subnet),
        gateway=gateway,
        ip_range=str(inner) if inner is not None and inner != subnet else "",
        auxiliary_addresses={auxiliary: way} if way else {},
    )


def _refuse_lacking(link: str) -> None:
    with Route() as route:
        if route.link(link) is None:
            raise InvalidParameter(f"bridge device with non default name {link} must be created manually")


def _address_of(link: str, version: int) -> str:
    """The first address of the user's own bridge, as CIDR; empty where it has none."""
    with Route() as route:
        found = route.link(link)
        for index, address, prefix in route.addresses():
            parsed = ipaddress.ip_address(address)
            ours = found is not None and index == found.index and parsed.version == version
            if ours and not parsed.is_link_local:
                return f"{address}/{prefix}"
    return ""

"""`network create -o` for bridges: Docker's driver options, read and checked.

    com.docker.network.bridge.name                    the link's name (else br-<12 of the id>)
                             .enable_icc              may containers speak to each other?
                             .enable_ip_masquerade    do they leave with an address of the host's?
                             .host_binding_ipv4       where ports are published that name no address
                             .inhibit_ipv4            the bridge gets no IPv4 address: the gateway is another
                             .gateway_mode_ipv4       nat; nat-unprotected: all ports are open to outside;
                             .gateway_mode_ipv6       isolated (if internal): the host is not reached either
                             .trusted_host_interfaces a:b, links from which every port is reached
    com.docker.network.host_ipv4, host_ipv6           the address of the host's with which they leave
    com.docker.network.container_iface_prefix         eth in eth0
    com.docker.network.driver.mtu

Another option means nothing, as with Docker. Source: moby, daemon/libnetwork/drivers/bridge, netlabel.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

import msgspec

from onggi.errors import InvalidParameter
from onggi.spec.number import whole

BRIDGE = "com.docker.network.bridge."
NAME = f"{BRIDGE}name"
ICC = f"{BRIDGE}enable_icc"
MASQUERADE = f"{BRIDGE}enable_ip_masquerade"
HOST_ADDRESS = f"{BRIDGE}host_binding_ipv4"
INHIBIT = f"{BRIDGE}inhibit_ipv4"
TRUSTED = f"{BRIDGE}trusted_host_interfaces"
MODES = {4: f"{BRIDGE}gateway_mode_ipv4", 6: f"{BRIDGE}gateway_mode_ipv6"}
SOURCES = {4: "com.docker.network.host_ipv4", 6: "com.docker.network.host_ipv6"}
PREFIX = "com.docker.network.container_iface_prefix"
MTU = "com.docker.network.driver.mtu"
DEFAULT_MTU = 1500
_MODES = ("nat", "nat-unprotected", "isolated")
_LINK_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}\Z")  # IFNAMSIZ
_PREFIX = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,11}\Z")  # room for a number of three digits


class BridgeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of one network. `modes` and `sources` by IP version; a family that is not in them has the default."""

    name: str
    icc: bool
    masquerade: bool
    host_address: str
    inhibit4: bool
    modes: dict[int, str]
    sources: dict[int, str]
    trusted: tuple[str, ...]
    prefix: str
    mtu: int

    def has_address(self, version: int) -> bool:
        """Does the bridge get the gateway's address of a family?"""
        return self.modes.get(version) != "isolated" and not (version == 4 and self.inhibit4)


def check(options: Mapping[str, str], *, internal: bool) -> None:
    """Raises InvalidParameter, by the option's name."""
    for name in (ICC, MASQUERADE, INHIBIT):
        truth(options, name)
    for name, version in ((HOST_ADDRESS, 0), (SOURCES[4], 4), (SOURCES[6], 6)):
        if options.get(name):
            _check_address(options[name], name, version)
    for name in MODES.values():
        if options.get(name):
            _check_mode(options[name], name, internal)
    found = read(options)
    if found.name and not _LINK_NAME.match(found.name):
        raise InvalidParameter(f"invalid bridge name: {found.name}")
    if not _PREFIX.match(found.prefix):
        raise InvalidParameter(f"invalid value {found.prefix!r} for option {PREFIX}")
    for name in found.trusted:
        if not _LINK_NAME.match(name):
            raise InvalidParameter(f"invalid value {name!r} for option {TRUSTED}: it is no link's name")


def read(options: Mapping[str, str]) -> BridgeOptions:
    """Of options that were checked. A gateway mode that is not known is nat: a former engine took any."""
    return BridgeOptions(
        name=options.get(NAME, ""),
        icc=truth(options, ICC),
        masquerade=truth(options, MASQUERADE),
        host_address=options.get(HOST_ADDRESS, ""),
        inhibit4=truth(options, INHIBIT, otherwise="false"),
        modes={v: options[name] for v, name in MODES.items() if options.get(name) in _MODES},
        sources={v: options[name] for v, name in SOURCES.items() if options.get(name)},
        trusted=tuple(name for name in options.get(TRUSTED, "").split(":") if name),
        prefix=options.get(PREFIX) or "eth",
        mtu=mtu(options),
    )


def mtu(options: Mapping[str, str]) -> int:
    """Of every driver. Raises InvalidParameter."""
    text = options.get(MTU) or str(DEFAULT_MTU)
    found = whole(text, 65535) or 0
    if found < 68:
        raise InvalidParameter(f"invalid MTU number: {text}")
    return found


def truth(options: Mapping[str, str], name: str, *, otherwise: str = "true") -> bool:
    """An option that is `otherwise` where it is not given. Raises InvalidParameter."""
    value = options.get(name, otherwise).lower()
    if value in ("1", "t", "true"):
        return True
    if value in ("0", "f", "false"):
        return False
    raise InvalidParameter(f'invalid value "{options[name]}" for option {name}')


def _check_mode(mode: str, name: str, internal: bool) -> None:
    if mode == "routed":
        raise InvalidParameter(
            f"gateway mode routed ({name}) is not known to this engine, which publishes ports by NAT alone: "
            'take "nat", or "nat-unprotected" for ports that are reached without being published'
        )
    if mode not in _MODES:
        raise InvalidParameter(f"unknown gateway mode {mode}")
    if mode == "isolated" and not internal:
        raise InvalidParameter("gateway mode 'isolated' can only be used for an internal network")


def _check_address(text: str, name: str, version: int) -> None:
    """An address of a family, 0 for any."""
    try:
        right = version in (0, ipaddress.ip_address(text).version)
    except ValueError:
        right = False
    if not right:
        raise InvalidParameter(f"invalid network config:\ninvalid {name} {text}: invalid address")

"""Which subnet a network gets: the first of the pools that the host does not use already.

A pool is (base, size): networks of that prefix length are cut from the base in order. "Used" is every address
and every route of the host, of any table, so that a VPN's or a company's range is left alone. IPv6 networks
without configuration are /64s of one unique local prefix of the engine's own (RFC 4193).
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator

from onggi.errors import InvalidParameter, Unavailable

IPv4Network = ipaddress.IPv4Network
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Docker's default local pools (moby: daemon/libnetwork/ipamutils, "default-address-pools").
DEFAULT_POOLS: tuple[tuple[str, int], ...] = (
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
)


def ula_pool(seed: str) -> tuple[str, int]:
    """The engine's own unique local prefix: fd, 40 bits of a hash of `seed`, then room for 65536 networks."""
    prefix = b"\xfd" + hashlib.sha256(seed.encode()).digest()[:5]
    return f"{ipaddress.IPv6Address(prefix + bytes(10))}/48", 64


def choose(pools: Iterable[tuple[str, int]], used: Iterable[tuple[str, int]], *, version: int = 4) -> Network:
    """The first subnet of `pools` that overlaps none of `used`. Raises Unavailable when there is none."""
    taken = _taken(used, version)
    for candidate in _candidates(pools, version):
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise Unavailable("all predefined address pools have been fully subnetted")


def overlap(subnet: str, used: Iterable[tuple[str, int]]) -> bool:
    """Does something of `used` lie within the subnet, or around it? A default route does not count."""
    wanted = ipaddress.ip_network(subnet)
    return any(wanted.overlaps(network) for network in _taken(used, wanted.version))


def _taken(used: Iterable[tuple[str, int]], version: int) -> list[Network]:
    parsed = (ipaddress.ip_network(item, strict=False) for item in used)
    return [network for network in parsed if network.version == version and network.prefixlen > 0]


def _candidates(pools: Iterable[tuple[str, int]], version: int) -> Iterator[Network]:
    for base, size in pools:
        try:
            network = ipaddress.ip_network(base)
            if network.version == version:
                yield from network.subnets(new_prefix=size)
        except ValueError as error:
            raise InvalidParameter(f"invalid address pool {base} size {size}: {error}") from None

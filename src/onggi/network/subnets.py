"""Which subnet a network gets: the first of the pools that the host does not use already.

A pool is (base, size): networks of that prefix length are cut from the base in order. "Used" is every address
and every route of the host, of any table, so that a VPN's or a company's range is left alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from onggi.errors import InvalidParameter, Unavailable

IPv4Network = ipaddress.IPv4Network

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


def choose(pools: Iterable[tuple[str, int]], used: Iterable[tuple[str, int]]) -> IPv4Network:
    """The first subnet of `pools` that overlaps none of `used`. Raises Unavailable when there is none."""
    taken = [network for network in map(_parse, used) if network is not None and network.prefixlen > 0]
    for candidate in _candidates(pools):
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise Unavailable("all predefined address pools have been fully subnetted")


def overlap(subnet: str, used: Iterable[tuple[str, int]]) -> bool:
    """Does something of `used` lie within the subnet, or around it? A default route does not count."""
    wanted = IPv4Network(subnet)
    taken = [network for network in map(_parse, used) if network is not None and network.prefixlen > 0]
    return any(wanted.overlaps(network) for network in taken)


def _candidates(pools: Iterable[tuple[str, int]]) -> Iterator[IPv4Network]:
    for base, size in pools:
        try:
            yield from IPv4Network(base).subnets(new_prefix=size)
        except ValueError as error:
            raise InvalidParameter(f"invalid address pool {base} size {size}: {error}") from None


def _parse(item: tuple[str, int]) -> IPv4Network | None:
    address, prefix = item
    return None if ":" in address else IPv4Network((address, prefix), strict=False)

"""Published ports in the packet filter: maps from what a client asks for to where a container listens.

    at4 at6      address . protocol . port  ->  address . port      published on one address of the host
    any4 any6               protocol . port  ->  address . port      published on every one of the family
    shut_...     keys of the map that count no more

A port is opened by one more element, 0.1 ms. To take an element away the kernel waits for a grace period of
RCU, 6 to 20 ms; so a port is closed by one more element of the `shut` set, at once and exactly, and both
elements are swept away later (engine/networks/table.py).

::1 is left out: the kernel routes nothing from there, a relay serves it (network/relay/). So it does a port
that `crosses`: asked for by IPv6, and the container has none. Such a port is in no map.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

CHAIN = "ports"
_TYPES = {"4": "ipv4_addr", "6": "ipv6_addr"}
_KINDS = ("at", "any")


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A published port; `host_address` is empty for every address of the target's family.

    `address` is the container's. Where that is IPv4 and `host_address` is IPv6 ("::" for all), it crosses.
    """

    protocol: str
    host_address: str
    host_port: int
    address: str
    port: int
    bridge: str

    @property
    def six(self) -> bool:
        """Is it reached by IPv6?"""
        return ":" in (self.host_address or self.address)

    @property
    def crosses(self) -> bool:
        return ":" in self.host_address and ":" not in self.address

    @property
    def where(self) -> tuple[str, str]:
        """(map, key): no two open ports have the same."""
        family = "6" if ":" in self.address else "4"
        plain = f"{self.protocol} . {self.host_port}"
        return (
            (f"at{family}", f"{self.host_address} . {plain}")
            if self.host_address
            else (f"any{family}", plain)
        )


def led(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Those that are in a map: all but the ones that cross."""
    return tuple(port for port in ports if not port.crosses)


def definitions(own: str) -> list[str]:
    """The maps, the sets, and the rules that read them, in the table `own` ("inet onggi")."""
    lines = []
    for family, address in _TYPES.items():
        for kind in _KINDS:
            key = f"{address} . inet_proto . inet_service" if kind == "at" else "inet_proto . inet_service"
            lines.append(f"add map {own} {kind}{family} {{ type {key} : {address} . inet_service ; }}")
            lines.append(f"add set {own} shut_{kind}{family} {{ type {key} ; }}")
            lines += [f"flush map {own} {kind}{family}", f"flush set {own} shut_{kind}{family}"]
    return lines


def rules(own: str) -> list[str]:
    """The rules of the chain: a port of one address comes before those of all."""
    lines = []
    for family in _TYPES:
        ip = "ip" if family == "4" else "ip6"
        there = "meta nfproto ipv4" if family == "4" else "ip6 daddr != ::1"
        for kind in _KINDS:
            plain = "meta l4proto . th dport"
            key = f"{ip} daddr . {plain}" if kind == "at" else plain
            lines.append(f"add rule {own} {CHAIN} {there} {key} @shut_{kind}{family} return")
            lines.append(f"add rule {own} {CHAIN} {there} dnat {ip} to {key} map @{kind}{family}")
    return lines


def opened(own: str, ports: Iterable[Port]) -> list[str]:
    """One command for each port."""
    return [f"add element {own} {port.where[0]} {{ {port.where[1]} : {_target(port)} }}" for port in ports]


def shut(own: str, ports: Iterable[Port]) -> list[str]:
    """One command for each port: from now on it leads nowhere."""
    return [f"add element {own} shut_{port.where[0]} {{ {port.where[1]} }}" for port in ports]


def swept(own: str, ports: Iterable[Port]) -> list[str]:
    """Both elements of each port that was shut."""
    lines = []
    for port in ports:
        where, key = port.where
        lines.append(f"delete element {own} {where} {{ {key} : {_target(port)} }}")
        lines.append(f"delete element {own} shut_{where} {{ {key} }}")
    return lines


def elements(listed: Iterable[dict[str, Any]]) -> int:
    """How many elements the maps have, of a table as libnftables lists it in JSON."""
    return sum(len(item["map"].get("elem", ())) for item in listed if "map" in item)


def _target(port: Port) -> str:
    return f"{port.address} . {port.port}"

"""What the resolver knows: who is in which network, and which networks a sandbox sees. Pure data."""

from __future__ import annotations

import ipaddress
import random

import msgspec


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A container in a network: its names there, and its addresses of both families."""

    network: str
    network_name: str
    container: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What one sandbox asks: its networks in order, its links, and whom to ask for the rest.

    `links` are (network, alias, name). Without `servers` the host's are asked; `forward` is false where
    every network is internal.
    """

    container: str
    networks: tuple[str, ...]
    links: tuple[tuple[str, str, str], ...] = ()
    servers: tuple[str, ...] = ()
    forward: bool = True


class Zones:
    """The tables. Names are kept in lower case: DNS knows no other (RFC 4343)."""

    def __init__(self) -> None:
        self.views: dict[str, View] = {}
        self._members: dict[str, dict[str, Member]] = {}
        self._names: dict[tuple[str, str], dict[str, Member]] = {}
        self._addresses: dict[tuple[str, str], Member] = {}

    def join(self, member: Member) -> None:
        """Add a container to a network, or replace what was known of it."""
        self.leave(member.network, member.container)
        self._members.setdefault(member.network, {})[member.container] = member
        for name in _all_names(member):
            self._names.setdefault((member.network, name), {})[member.container] = member
        for address in member.addresses:
            self._addresses[member.network, address] = member

    def leave(self, network: str, container: str) -> None:
        """Forget a container of a network; one that is not there is no error."""
        member = self._members.get(network, {}).pop(container, None)
        if member is None:
            return
        if not self._members[network]:
            del self._members[network]
        for name in _all_names(member):
            found = self._names.get((network, name), {})
            found.pop(container, None)
            if not found:
                self._names.pop((network, name), None)
        for address in member.addresses:
            if self._addresses.get((network, address)) == member:
                del self._addresses[network, address]

    def forget(self, container: str) -> None:
        """A container's end: its view and its names in every network."""
        self.views.pop(container, None)
        for network in [key for key, members in self._members.items() if container in members]:
            self.leave(network, container)

    def keep_only(self, containers: set[str], members: set[tuple[str, str]]) -> None:
        """Forget what an engine that has told everything did not mention."""
        for container in set(self.views) - containers:
            del self.views[container]
        for network in list(self._members):
            for container in list(self._members[network]):
                if (network, container) not in members:
                    self.leave(network, container)

    def addresses(self, view: View, name: str) -> list[str] | None:
        """The addresses of a name as this sandbox sees it, in a new order each time; None: not known."""
        wanted = name.rstrip(".").lower()
        for network in view.networks:
            target = next(
                (n for at, alias, n in view.links if at == network and alias.lower() == wanted), wanted
            )
            members = self._names.get((network, target.lower()))
            if members:
                found = [address for member in members.values() for address in member.addresses]
                random.shuffle(found)
                return found
        return None

    def reverse(self, view: View, name: str) -> str | None:
        """`2.0.17.172.in-addr.arpa` as the name of its container, or None."""
        address = _reversed(name.rstrip(".").lower())
        for network in view.networks if address else ():
            member = self._addresses.get((network, str(address)))
            if member is not None:
                return f"{member.names[0]}.{member.network_name}"
        return None


def _all_names(member: Member) -> set[str]:
    plain = {name.lower() for name in member.names}
    return plain | {f"{name}.{member.network_name.lower()}" for name in plain}


def _reversed(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        if name.endswith(".in-addr.arpa"):
            return ipaddress.IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
        if name.endswith(".ip6.arpa"):
            digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
            return ipaddress.IPv6Address(int(digits, 16)) if len(digits) == 32 else None
    except ValueError:
        return None
    return None

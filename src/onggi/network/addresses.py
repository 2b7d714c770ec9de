"""The addresses of one subnet: handed out in turn, so that one just given back is not the next one given.

Lives in memory; the engine's endpoint rows are what lasts, and fill it again at start (`reserve`).
"""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Iterable

from onggi.errors import Conflict, Forbidden, Unavailable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Addresses:
    """The host addresses of a subnet without its gateway, its auxiliary ones and, for IPv4, its two ends.

    `ip_range` narrows what is handed out; an address that is asked for may be any of the subnet.
    """

    def __init__(
        self, subnet: Network, gateway: str, *, ip_range: Network | None = None, aside: Iterable[str] = ()
    ) -> None:
        self.subnet = subnet
        self.gateway = gateway
        self._bounds = _hosts(subnet)
        inner = (int(ip_range.network_address), int(ip_range.broadcast_address)) if ip_range else self._bounds
        self._first = max(inner[0], self._bounds[0])
        self._last = min(inner[1], self._bounds[1])
        self._kept = {int(ipaddress.ip_address(text)) for text in (gateway, *aside) if text}
        self._taken = set(self._kept)
        self._next = self._first
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """How many are taken, the gateway and the auxiliary ones among them."""
        return len(self._taken)

    @property
    def free(self) -> int:
        """How many could still be handed out."""
        taken = sum(1 for number in list(self._taken) if self._first <= number <= self._last)
        return max(0, self._last - self._first + 1 - taken)

    def take(self) -> str:
        """The next free address. Raises Unavailable when the subnet is full."""
        with self._lock:
            for _ in range(min(self._last - self._first + 1, len(self._taken) + 1)):
                while self._next in self._taken and self._next < self._last:
                    self._next += 1
                address = self._next
                self._next = self._first if address >= self._last else address + 1
                if address not in self._taken:
                    self._taken.add(address)
                    return self._text(address)
        version = self.subnet.version
        raise Unavailable(
            f"no available IPv{version} addresses on this network's address pools: {self.subnet}"
        )

    def reserve(self, address: str) -> None:
        """Mark one as taken. Raises Conflict when it is taken, or not of this subnet."""
        number = int(ipaddress.ip_address(address))
        with self._lock:
            if not self._bounds[0] <= number <= self._bounds[1]:
                raise Conflict(f"no configured subnet contains IP address {address}")
            if number in self._taken:
                raise Forbidden("Address already in use")
            self._taken.add(number)
            if self._first <= number < self._last:
                self._next = max(self._next, number + 1)

    def give_back(self, address: str) -> None:
        """Free one; the gateway and the auxiliary ones stay taken."""
        number = int(ipaddress.ip_address(address))
        if number not in self._kept:
            with self._lock:
                self._taken.discard(number)

    def _text(self, number: int) -> str:
        kind = ipaddress.IPv4Address if self.subnet.version == 4 else ipaddress.IPv6Address
        return str(kind(number))


def _hosts(subnet: Network) -> tuple[int, int]:
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    if subnet.version == 6:
        return (first + 1, last) if subnet.prefixlen < 127 else (first, last)
    return (first + 1, last - 1) if subnet.prefixlen < 31 else (first, last)


def first_host(subnet: Network) -> str:
    """The address that a gateway gets when nobody chose one."""
    return str(ipaddress.ip_address(_hosts(subnet)[0]) if subnet.version == 4 else subnet[1])


def mac_of(address: str) -> bytes:
    """A locally administered MAC: 02:42 and the IPv4 address, as Docker's; random without one."""
    if not address or ":" in address:
        return b"\x02\x42" + os.urandom(4)
    return b"\x02\x42" + ipaddress.IPv4Address(address).packed


def mac_text(address: str) -> str:
    """The same as text, 02:42:ac:11:00:02."""
    return mac_of(address).hex(":")

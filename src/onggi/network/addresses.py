"""The addresses of one network: handed out in turn, so that one just given back is not the next one given.

Lives in memory; the engine's endpoint rows are what lasts, and fill it again at start (`reserve`).
"""

from __future__ import annotations

import ipaddress
import threading

from onggi.errors import Conflict, Unavailable


class Addresses:
    """The host addresses of an IPv4 subnet, its network, broadcast and gateway addresses left out."""

    def __init__(self, subnet: ipaddress.IPv4Network, gateway: str) -> None:
        self.subnet = subnet
        self.gateway = gateway
        self._first = int(subnet.network_address) + 1
        self._last = int(subnet.broadcast_address) - 1
        self._taken = {int(ipaddress.IPv4Address(gateway))}
        self._next = self._first
        self._lock = threading.Lock()

    def take(self) -> str:
        """The next free address. Raises Unavailable when the subnet is full."""
        with self._lock:
            for _ in range(self._last - self._first + 1):
                address = self._next
                self._next = self._first if address >= self._last else address + 1
                if address not in self._taken:
                    self._taken.add(address)
                    return str(ipaddress.IPv4Address(address))
        raise Unavailable(f"no available IPv4 addresses on this network's address pools: {self.subnet}")

    def reserve(self, address: str) -> None:
        """Mark one as taken. Raises Conflict when it is taken, or not of this subnet."""
        number = int(ipaddress.IPv4Address(address))
        with self._lock:
            if number in self._taken or not self._first <= number <= self._last:
                raise Conflict(f"Address already in use: {address}")
            self._taken.add(number)
            self._next = max(self._next, self._first if number == self._last else number + 1)

    def give_back(self, address: str) -> None:
        """Free one; the gateway stays taken."""
        if address != self.gateway:
            with self._lock:
                self._taken.discard(int(ipaddress.IPv4Address(address)))


def mac_of(address: str) -> bytes:
    """A locally administered MAC made of 02:42 and the IPv4 address, as Docker's."""
    return b"\x02\x42" + ipaddress.IPv4Address(address).packed


def mac_text(address: str) -> str:
    """The same as text, 02:42:ac:11:00:02."""
    return mac_of(address).hex(":")

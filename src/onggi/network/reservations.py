"""Ports of the host that containers publish: reserved by a bound socket, then written into the firewall.

The socket does not listen: it keeps the number from other programs, until a relay is given it. What a
container has is kept under its id. Not here: the rules' text (firewall.py), requests
(engine/networks/publish.py).
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterable
from typing import Protocol

import msgspec

from onggi.errors import System
from onggi.network import published
from onggi.network.published import Port

FIRST_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_ATTEMPTS = 32
_TYPES = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, 132),  # IPPROTO_SCTP
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One port to publish. `first` is 0 for any; `host_address` is empty for every address.

    `address4` and `address6` are where the container listens for those who come by IPv4 and IPv6, empty for
    nowhere. An IPv4 address for both is right: then the port crosses (published.py).
    """

    protocol: str
    port: int
    host_address: str = ""
    first: int = 0
    last: int = 0
    address4: str = ""
    address6: str = ""
    bridge: str = ""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, as `inspect` shows it: `host_address` is 0.0.0.0 or :: for every one of its family."""

    protocol: str
    port: int
    host_address: str
    host_port: int


class Host(Protocol):
    """Whose ports they are."""

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of the host's network namespace. Raises OSError."""

    def first_port(self) -> int:
        """The lowest port that needs no privilege."""


def has_ipv6(host: Host) -> bool:
    """Can one listen by IPv6? dockerd asks the same (netutils.IsV6Listenable)."""
    try:
        with host.open_socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


class Here:
    """The host of an engine that is in the host's network namespace."""

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        return socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)

    def first_port(self) -> int:
        with open(FIRST_PORT, encoding="ascii") as file:
            return int(file.read())


class Reservations:
    """Thread-safe. The sockets live as long as the engine; after its restart they are made again."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._held: dict[str, list[tuple[socket.socket | None, Port]]] = {}
        self.inherited: dict[tuple[str, str, int], socket.socket] = {}  # sockets that a relay holds already

    def sockets(self, owner: str) -> list[tuple[socket.socket | None, Port]]:
        """What is held for a container; the sockets stay ours."""
        with self._lock:
            return list(self._held.get(owner, ()))

    def owners(self) -> list[str]:
        """The containers that have a port."""
        with self._lock:
            return list(self._held)

    def rules(self) -> tuple[Port, ...]:
        """Every port that the firewall leads; those of one address come before those of all."""
        with self._lock:
            ports = [port for held in self._held.values() for _, port in held]
        return tuple(sorted(published.led(ports), key=lambda port: not port.host_address))

    def take(self, owner: str, wanted: list[Wanted]) -> list[Bound]:
        """Reserve all of them for a container, or none. Raises System (a port is taken)."""
        bound: list[Bound] = []
        held: list[tuple[socket.socket | None, Port]] = []
        try:
            with self._lock:
                for one in wanted:
                    bound += self._one(one, held)
                self._held.setdefault(owner, []).extend(held)
        except BaseException:
            for reserved, _ in held:
                if reserved is not None:
                    reserved.close()
            raise
        return bound

    def of(self, owner: str) -> tuple[Port, ...]:
        """The rules of one container."""
        with self._lock:
            return tuple(port for _, port in self._held.get(owner, ()))

    def has(self, owner: str) -> bool:
        return owner in self._held

    def bound(self, owner: str) -> list[Bound]:
        """What a container has published."""
        with self._lock:
            rules = [rule for _, rule in self._held.get(owner, ())]
        return [
            Bound(
                protocol=rule.protocol,
                port=rule.port,
                host_address=rule.host_address or ("::" if ":" in rule.address else "0.0.0.0"),
                host_port=rule.host_port,
            )
            for rule in rules
        ]

    def give_back(self, owner: str, ports: Iterable[Port]) -> None:
        """Free ports of a container. The rules are the caller's to change, first."""
        gone = set(ports)
        with self._lock:
            held = self._held.pop(owner, [])
            kept = [entry for entry in held if entry[1] not in gone]
            if kept:
                self._held[owner] = kept
        for reserved, port in held:
            if reserved is not None and port in gone:
                reserved.close()

    def _one(self, wanted: Wanted, held: list[tuple[socket.socket | None, Port]]) -> list[Bound]:
        sides = _sides(wanted)
        if not wanted.first:
            return self._any(wanted, sides, held)
        busy: OSError | None = None
        for number in range(wanted.first, wanted.last + 1):
            try:
                return self._at(wanted, sides, number, held)
            except OSError as error:
                busy = error
        assert busy is not None  # a range is not empty
        if busy.errno == errno.EACCES:
            raise System(_privileged(wanted, sides, self._host.first_port())) from None
        raise System(_busy(wanted, sides, busy)) from None

    def _any(
        self, wanted: Wanted, sides: list[tuple[str, str]], held: list[tuple[socket.socket | None, Port]]
    ) -> list[Bound]:
        for _ in range(_ATTEMPTS):
            probe = self._bind(wanted.protocol, sides[0][0], 0)
            number = probe.getsockname()[1] if probe is not None else 49153 + len(held)
            if probe is not None:
                probe.close()
            try:
                return self._at(wanted, sides, number, held)
            except OSError:
                continue
        raise System("failed to allocate a host port: every port of the ephemeral range is in use")

    def _at(
        self,
        wanted: Wanted,
        sides: list[tuple[str, str]],
        number: int,
        held: list[tuple[socket.socket | None, Port]],
    ) -> list[Bound]:
        """One number on every side. Raises OSError, and then holds nothing new."""
        before = len(held)
        bound = []
        try:
            for host, inside in sides:
                self._refuse_own(wanted.protocol, host, number, held)
                crosses = ":" in host and ":" not in inside
                port = Port(
                    protocol=wanted.protocol,
                    host_address="" if host in ("0.0.0.0", "::") and not crosses else host,
                    host_port=number,
                    address=inside,
                    port=wanted.port,
                    bridge=wanted.bridge,
                )
                there = self.inherited.pop((wanted.protocol, host, number), None)
                held.append((there or self._bind(wanted.protocol, host, number), port))
                bound.append(
                    Bound(protocol=wanted.protocol, port=wanted.port, host_address=host, host_port=number)
                )
        except OSError:
            for reserved, _ in held[before:]:
                if reserved is not None:
                    reserved.close()
            del held[before:]
            raise
        return bound

    def _refuse_own(
        self, protocol: str, host: str, number: int, held: list[tuple[socket.socket | None, Port]]
    ) -> None:
        everyone = host in ("0.0.0.0", "::")
        others = [port for entry in self._held.values() for _, port in entry] + [port for _, port in held]
        for port in others:
            same_family = port.six == (":" in host)
            overlaps = everyone or port.host_address in ("", "::", host)
            if (port.protocol, port.host_port) == (protocol, number) and same_family and overlaps:
                raise OSError(errno.EEXIST, "port is already allocated", host)

    def _bind(self, protocol: str, host: str, number: int) -> socket.socket | None:
        """A bound socket; None where the kernel lacks the protocol. Raises OSError with the address."""
        kind, proto = _TYPES[protocol]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            found = self._host.open_socket(family, kind, proto)
        except OSError as error:
            if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
                return None
            raise
        try:
            if family == socket.AF_INET6:
                found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                found.bind((host, number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or protocol != "tcp":
                    raise
                _bind_over_the_dead(found, host, number)
        except OSError as error:
            found.close()
            raise OSError(error.errno, error.strerror, host) from None
        return found


def _sides(wanted: Wanted) -> list[tuple[str, str]]:
    """(address of the host, address of the container) of each family. Raises System."""
    host = wanted.host_address
    found = []
    if wanted.address4 and (not host or ":" not in host):
        found.append((host or "0.0.0.0", wanted.address4))
    if wanted.address6 and (not host or ":" in host):
        found.append((host or "::", wanted.address6))
    if not found:
        raise System(f"cannot publish on {host}: the container has no address of that family")
    return found


def _privileged(wanted: Wanted, sides: list[tuple[str, str]], first: int) -> str:
    """Docker's words for rootless engines (rootlesskit, pkg/port/builtin)."""
    host = sides[0][0]
    shown = f"[{host}]" if ":" in host else host
    return (
        f"cannot expose privileged port {wanted.first}, you can add "
        f"'net.ipv4.ip_unprivileged_port_start={wanted.first}' to /etc/sysctl.conf (currently {first}), or "
        f"choose a larger port number (>= {first}): "
        f"listen {wanted.protocol} {shown}:{wanted.first}: bind: permission denied"
    )


def _busy(wanted: Wanted, sides: list[tuple[str, str]], error: OSError) -> str:
    host, inside = sides[0]
    if isinstance(error.filename, str):
        host, inside = next(side for side in sides if side[0] == error.filename)
    shown = f"[{host}]" if ":" in host else host
    if error.errno == errno.EEXIST:
        return f"Bind for {shown}:{wanted.first} failed: port is already allocated"
    target = f"[{inside}]" if ":" in inside else inside
    reason = (error.strerror or "").lower()
    where = f"{shown}:{wanted.first}:{target}:{wanted.port}/{wanted.protocol}"
    return f"failed to bind host port for {where}: {reason}"


def _bind_over_the_dead(found: socket.socket, host: str, number: int) -> None:
    """Bind where only ended connections (TIME_WAIT) have the port: a relay leaves some. Raises OSError.

    SO_REUSEADDR alone would let others do the same: it is listening that makes the kernel forget it
    (inet_csk_get_port). Shut down, the socket listens no more and keeps its port.
    """
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((host, number))
    found.listen(0)
    found.shutdown(socket.SHUT_RD)

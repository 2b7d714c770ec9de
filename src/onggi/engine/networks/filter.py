"""What the host's packet filter has to say for this engine, and the ports of the host that go with it.

The table is a function of the live networks and of the published ports. It is replaced where a network comes
or goes; a port is one element more, or one that is shut and swept away later (network/published.py).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.network import firewall, flows, foreign, forwarding, published
from onggi.network.published import Port
from onggi.network.relay.client import Relay, Served, listen
from onggi.network.relay.doorbells import Doorbells
from onggi.network.reservations import Bound, Here, Reservations, Wanted, has_ipv6
from onggi.network.rootless.outside import Outside

if TYPE_CHECKING:
    import socket

    from onggi.engine.config import EngineConfig

log = logging.getLogger(__name__)


class Filter:
    """Blocking, thread-safe. `segments` gives the live networks; `table` is the name of the table.

    `outside` is the host of an engine in a network namespace of its own: there the relay carries every port.
    """

    def __init__(
        self,
        config: EngineConfig,
        table: str,
        segments: Callable[[], tuple[firewall.Segment, ...]],
        outside: Outside | None = None,
    ) -> None:
        self.table = table
        self.ports = Reservations(outside or Here())
        self._outside = outside
        self._pids: dict[str, int] = {}  # of containers that publish ports: their inits
        self.relay = Relay(config.paths.relay_socket)
        self._doorbells = Doorbells(self._rung)
        self._config = config
        self._segments = segments
        self._lock = threading.Lock()  # the kernel's table
        self._counting = threading.Lock()
        self._wanted = self._applied = 0  # generations of the rules
        self._shut: tuple[Port, ...] = ()
        self._postponed = False

    @functools.cached_property
    def crosses(self) -> bool:
        """Do containers without IPv6 publish by the host's IPv6, too? As by dockerd's userland-proxy."""
        return self._config.userland_proxy and has_ipv6(self._outside or Here())

    def rules(self) -> firewall.Rules:
        """What the table has to say now."""
        note = self._config.paths.forwarding_note
        return firewall.Rules(
            segments=self._segments(),
            ports=self.ports.rules(),
            apart=() if self._config.ip_forward_no_drop else forwarding.apart(note, 4),
            apart6=() if self._config.ip_forward_no_drop else forwarding.apart(note, 6),
            ipv6=self._config.ip6tables,
            from_outside=self.rules_from_outside,
        )

    def apply(self) -> None:
        """Replace the table. Callers that wait for one another share one transaction. Raises System."""
        if not self._config.iptables or self._postponed:
            return
        with self._counting:
            self._wanted += 1
            mine = self._wanted
        with self._lock:
            if self._applied < mine:
                self._replace()

    def _replace(self) -> None:
        with self._counting:
            covered = self._wanted
        firewall.apply(self.table, self.rules())
        self._applied, self._shut = covered, ()

    def let_through(self) -> list[str]:
        """Ways through other people's chains, where they lack; which got one. Raises OSError."""
        return foreign.let_through(self.table) if self._config.iptables else []

    def publish(self, owner: str, wanted: list[Wanted]) -> list[Bound]:
        """Reserve ports and lead them to a container. Raises System (a port is taken).

        Failpoints: network.reserved, network.opened.
        """
        with self._lock:
            before = len(self.ports.of(owner))
            bound = self.ports.take(owner, wanted)
            new = self.ports.of(owner)[before:]
            try:
                failpoints.hit("network.reserved")
                led = published.led(new)
                if led and self._config.iptables and not self._open(led):
                    self._replace()
                failpoints.hit("network.opened")
                self._relay(owner, new)
                flows.published(new)
            except BaseException:
                for port in new:
                    self._doorbells.take_down(_served(port))
                self.ports.give_back(owner, new)
                raise
        return bound

    def _relay(self, owner: str, ports: Iterable[Port]) -> None:
        wanted = set(ports)
        for listener, port in self.ports.sockets(owner):
            if port not in wanted or listener is None or not self._relayed(port):
                continue
            if not port.crosses or self._always or self.relay.connected():
                self.relay.serve(_served(port), listener)
            elif not self._doorbells.hangs(_served(port)):
                listen(_served(port), listener)
                self._doorbells.hang(_served(port), listener)
        self._watch(owner)

    def _rung(self, served: Served) -> None:
        """Somebody is at a socket that the relay does not serve yet."""
        with self._lock:
            for owner in self.ports.owners():
                for listener, port in self.ports.sockets(owner):
                    if _served(port) == served and listener is not None and self._doorbells.take_down(served):
                        self._serve_rung(owner, served, listener)

    def _serve_rung(self, owner: str, served: Served, listener: socket.socket) -> None:
        try:
            self.relay.serve(served, listener)
        except OSError as error:
            log.error("port %s of %s is not relayed: %s", served.host_port, served.host_address, error)
        self._watch(owner)

    def watch(self, owner: str, pid: int) -> None:
        """The container's init runs: the relay watches it, for the time without an engine."""
        with self._lock:
            self._pids[owner] = pid
            self._watch(owner)

    def _watch(self, owner: str) -> None:
        relayed = [_served(port) for port in self.ports.of(owner) if self._in_relay(port)]
        if relayed and owner in self._pids:
            self.relay.watch(relayed, self._pids[owner])

    def _relayed(self, port: Port) -> bool:
        """Is it a port that the packet filter does not lead, for whoever asks?"""
        if self._always or port.crosses or port.host_address == "::1":
            return True
        if ":" in port.address:
            return not port.host_address or not self._config.ip6tables or not self.rules_from_outside
        return not self.rules_from_outside and not port.host_address.startswith("127.")

    def _in_relay(self, port: Port) -> bool:
        """Has the relay process its socket?"""
        return self._relayed(port) and not self._doorbells.hangs(_served(port))

    @property
    def _always(self) -> bool:
        """Does the relay carry every port?"""
        return self._outside is not None or not self._config.iptables

    @property
    def rules_from_outside(self) -> bool:
        """Does the packet filter lead what comes from outside, past INPUT?"""
        return self._config.publish_policy == "nat"

    def _open(self, ports: tuple[Port, ...]) -> bool:
        shut = {port.where for port in self._shut}
        if any(port.where in shut for port in ports) and not self._sweep():
            return False
        return firewall.open_ports(self.table, ports)

    def withdraw(self, owner: str, protocol: str = "", port: int = 0, host_port: int = 0) -> tuple[Port, ...]:
        """Close the ports of a container, or those of one of its ports; then free them. What they were.

        Raises System. Failpoint: network.shut.
        """
        with self._lock:
            gone = tuple(
                one
                for one in self.ports.of(owner)
                if (protocol, port) in (("", 0), (one.protocol, one.port)) and host_port in (0, one.host_port)
            )
            led = published.led(gone)
            done = not led or not self._config.iptables or firewall.shut_ports(self.table, led)
            failpoints.hit("network.shut")
            relayed = [_served(one) for one in gone if self._in_relay(one)]
            if relayed:
                self.relay.stop(relayed)
            for one in gone:
                self._doorbells.take_down(_served(one))
            flows.withdrawn(gone)
            self.ports.give_back(owner, gone)
            if not self.ports.has(owner):
                self._pids.pop(owner, None)
            if not done:
                self._replace()
            elif self._config.iptables:
                self._shut += led
        return gone

    def sweep(self) -> None:
        """Take the elements of closed ports out of the table. Raises System."""
        with self._lock:
            if self._shut and not self._sweep():
                self._replace()

    def _sweep(self) -> bool:
        shut, self._shut = self._shut, ()
        return firewall.sweep_ports(self.table, shut)

    def mend(self) -> list[str]:
        """Make again what somebody took from it; says what it was. Raises System, OSError."""
        if not self._config.iptables:
            return self._mend_relay()
        self.sweep()
        mended = []
        with self._lock:
            if not self._shut and not firewall.intact(self.table, self.rules()):
                self._replace()
                mended.append(f"firewall table {self.table}")
        return mended + self._mend_relay() + [f"way through {chain}" for chain in self.let_through()]

    def _mend_relay(self) -> list[str]:
        """Start a relay that died again, and let it serve what it did."""
        with self._lock:
            owners = self.ports.owners()
            if not any(self._in_relay(port) for owner in owners for port in self.ports.of(owner)):
                return []
            if self.relay.connected():
                return []
            for owner in owners:
                self._relay(owner, self.ports.of(owner))
        return ["relay process"]

    @contextlib.contextmanager
    def taking_up(self) -> Iterator[None]:
        """At the engine's start: the table of an earlier engine stays until all is known.

        Then it is replaced. So a published port is reached all the while. Raises System.
        """
        self._postponed = True
        served = self.relay.serving()
        for one in served:
            listener = self.relay.inherit(one)
            if listener is not None:
                self.ports.inherited[one.place] = listener
        try:
            yield
        finally:
            self._postponed = False
            self._take_up(served)
        if self._config.iptables and (self._segments() or firewall.exists(self.table)):
            self.apply()

    def _take_up(self, served: list[Served]) -> None:
        """The relay goes on with what is still published, and lets go of the rest."""
        while self.ports.inherited:
            self.ports.inherited.popitem()[1].close()
        owners = self.ports.owners()
        ports = {_served(port): (owner, port) for owner in owners for port in self.ports.of(owner)}
        gone = [one for one in served if one not in ports or not self._relayed(ports[one][1])]
        if gone:
            self.relay.stop(gone)
        for one, (owner, port) in ports.items():
            if one not in served:
                self._relay(owner, (port,))

    def close(self) -> None:
        """Let go of the relay; it serves on what it serves."""
        self._doorbells.close()
        self.relay.close()

    def exists(self) -> bool:
        """Is anything of it on the host?"""
        return self._config.iptables and firewall.exists(self.table)

    def remove(self) -> None:
        """Take all of it from the host. Raises System, OSError."""
        if self._config.iptables:
            firewall.remove(self.table)
            foreign.withdraw(self.table)


def _served(port: Port) -> Served:
    return Served(
        protocol=port.protocol,
        host_address=port.host_address or ("::" if ":" in port.address else "0.0.0.0"),
        host_port=port.host_port,
        address=port.address,
        port=port.port,
    )

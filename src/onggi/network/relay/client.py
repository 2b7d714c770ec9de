"""The engine's side of the relay: which sockets it serves, and to where.

Blocking, thread-safe.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

import msgspec

from onggi.network.companion import Companion

BACKLOG = 512


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One socket and its target; `host_address` is as it is bound: 0.0.0.0 or :: for every one."""

    protocol: str
    host_address: str
    host_port: int
    address: str
    port: int

    @property
    def key(self) -> str:
        return f"{self.protocol} {self.host_address} {self.host_port} {self.address} {self.port}"

    @property
    def place(self) -> tuple[str, str, int]:
        return self.protocol, self.host_address, self.host_port


def listen(served: Served, listener: socket.socket) -> None:
    """Who connects before the process is there waits. Raises OSError."""
    if served.protocol != "udp":
        # Ended connections have it from the listener, and then are in nobody's way (TIME_WAIT).
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.listen(BACKLOG)


class Relay(Companion):
    """A connection to the relay process. It holds the sockets with us: closing takes both."""

    module = "onggi.network.relay.process"

    def serve(self, served: Served, listener: socket.socket) -> None:
        """Relay what comes to a bound socket; the process is started where there is none. Raises OSError."""
        listen(served, listener)
        self.start()
        self._send({"op": "serve", "served": served}, (listener.fileno(),))

    def stop(self, served: Iterable[Served]) -> None:
        """Close the process's side of the sockets, and wait until it is done. Connections live on.

        A lost process is no error: its sockets have gone with it.
        """
        self._ask({"op": "stop", "keys": [one.key for one in served]})

    def watch(self, served: Iterable[Served], pid: int) -> None:
        """Let the process stop them by itself when this process, a container's init, ends."""
        self._send({"op": "watch", "keys": [one.key for one in served], "pid": pid})

    def serving(self) -> list[Served]:
        """What a process of an earlier engine serves; nothing where there is none."""
        if not self.connected() and not self.running():
            return []
        return msgspec.convert(self._ask({"op": "list"})[0] or [], list[Served])

    def inherit(self, served: Served) -> socket.socket | None:
        """The process's socket, for an engine that takes it up."""
        _, fds = self._ask({"op": "hand", "key": served.key}, wanted=1)
        return socket.socket(fileno=fds[0]) if fds else None

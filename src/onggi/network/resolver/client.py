"""The engine's side of the resolver: starts it, finds it again, tells it of every change.

Blocking, thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import socket

import msgspec

from onggi.kernel import nftables
from onggi.network.companion import PACKET_BYTES, Companion
from onggi.network.resolver.zones import Member, View
from onggi.network.sandbox import Entered, Sandbox

ADDRESS = "127.0.0.11"


class Resolver(Companion):
    """A connection to the resolver process. When it ended, the engine starts another and tells all anew."""

    module = "onggi.network.resolver.process"

    def tell_all(self, views: list[View], members: list[Member]) -> set[str]:
        """Everything anew; the containers whose sockets the process has. Raises OSError."""
        with self._lock:
            assert self._connection is not None  # started
            self._send({"op": "begin"})
            for member in members:
                self.join(member)
            for view in views:
                self._send({"op": "sandbox", "view": view})
            self._send({"op": "end"})
            answer = self._connection.recv(PACKET_BYTES)
            if not answer:
                raise OSError(errno.EPIPE, "the resolver process has ended", self._path)
            return set(msgspec.json.decode(answer, type=list[str]))

    def open(self, view: View, sandbox: Sandbox) -> None:
        """Serve a sandbox: two sockets in its namespace, and port 53 of 127.0.0.11 led to them.

        A rule leads there, no socket has port 53: a name server of the container's own may bind 0.0.0.0:53.
        Raises OSError.
        """
        with contextlib.ExitStack() as stack:
            with Entered(sandbox.fd):
                udp, tcp = _sockets(0)
                stack.callback(udp.close)
                stack.callback(tcp.close)
                try:
                    nftables.run(_redirect(udp.getsockname()[1], tcp.getsockname()[1]))
                except OSError as error:
                    if error.errno != errno.ENOENT:
                        raise
                    udp.close()
                    tcp.close()
                    udp, tcp = _sockets(53)  # without nftables the port itself
                    stack.callback(udp.close)
                    stack.callback(tcp.close)
            self._send({"op": "sandbox", "view": view}, (udp.fileno(), tcp.fileno()))

    def view(self, view: View) -> None:
        """Another view of a sandbox that is served already."""
        self._send({"op": "sandbox", "view": view})

    def join(self, member: Member) -> None:
        self._send({"op": "join", "member": member})

    def leave(self, network: str, container: str) -> None:
        self._send({"op": "leave", "network": network, "container": container})

    def watch(self, container: str, pid: int) -> None:
        """Let the process see the end of a container by itself."""
        self._send({"op": "watch", "container": container, "pid": pid})

    def gone(self, container: str) -> None:
        self._send({"op": "gone", "container": container})


def _sockets(port: int) -> tuple[socket.socket, socket.socket]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    udp.bind((ADDRESS, port))
    tcp.bind((ADDRESS, port))
    tcp.listen(64)
    return udp, tcp


def _redirect(udp_port: int, tcp_port: int) -> str:
    table = "ip onggi_dns"
    hook = "type nat hook output priority -100 ;"
    lines = [f"add table {table}", f"flush table {table}", f"add chain {table} output {{ {hook} }}"]
    for protocol, port in (("udp", udp_port), ("tcp", tcp_port)):
        match = f"ip daddr {ADDRESS} {protocol} dport 53"
        lines.append(f"add rule {table} output {match} dnat to {ADDRESS}:{port}")
    return "\n".join(lines) + "\n"

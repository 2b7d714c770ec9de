"""The engine's side of the resolver: starts it, finds it again, tells it of every change.

Blocking, thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from typing import Any

import msgspec

from onggi.kernel import nftables
from onggi.network.resolver.zones import Member, View
from onggi.network.sandbox import Entered, Sandbox

ADDRESS = "127.0.0.11"
PACKET_BYTES = 1 << 20
SECONDS = 10.0
_CODE = (
    "import sys;sys.path[:]={path!r};from onggi.network.resolver.process import main;main({fd})  # {socket}"
)


class Resolver:
    """A connection to the resolver process. `lost` is set when it ended: the engine then tells all anew."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def connected(self) -> bool:
        """Is there a process that listens to us?"""
        with self._lock:
            if self._connection is None:
                return False
            try:
                self._connection.setblocking(False)
                alive = self._connection.recv(1, socket.MSG_PEEK) != b""
            except BlockingIOError:
                alive = True
            except OSError:
                alive = False
            finally:
                self._connection.settimeout(SECONDS)
            if not alive:
                self._drop()
            return alive

    def running(self) -> bool:
        """Is there a process from an earlier engine, or ours?"""
        return self._connect(start=False)

    def start(self) -> bool:
        """Connect, and start the process where there is none; True when it is a new one. Raises OSError."""
        with self._lock:
            if self.connected() or self._connect(start=False):
                return False
            self._connect(start=True)
            return True

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

    def close(self) -> None:
        """Let go; the process ends if it has no sandbox, and serves on otherwise."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._send({"op": "quit"})
            process, self._process = self._process, None
            self._drop()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)

    def _send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """A lost process is no error of the caller's: the engine's watch starts another and tells it all."""
        with self._lock:
            if self._connection is None:
                return
            try:
                socket.send_fds(self._connection, [msgspec.json.encode(message)], fds)
            except OSError:
                self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None and self._process.poll() is not None:
            self._process = None

    def _connect(self, *, start: bool) -> bool:
        with self._lock:
            self._drop()
            if start:
                self._spawn()
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
            connection.settimeout(SECONDS)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET_BYTES)
            try:
                connection.connect(self._path)
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if start:
                    raise
                return False
            self._connection = connection
            return True

    def _spawn(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with listener:
            listener.bind(self._path)
            os.chmod(self._path, 0o600)
            listener.listen(1)
            code = _CODE.format(path=sys.path, fd=listener.fileno(), socket=self._path)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(listener.fileno(),),
                start_new_session=True,
                cwd="/",
            )


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

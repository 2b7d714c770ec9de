"""UDP: a socket to the container for each client, given up when it is idle or when there are too many.

Answers leave from the address that the client asked: the kernel tells it with each datagram (IP_PKTINFO,
ip(7); RFC 3542, IPV6_PKTINFO).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

IDLE_SECONDS = 90.0  # Docker's
CLIENTS = 1024  # of one port; the one that was silent longest makes room
BYTES = 65536
TURN = 64  # datagrams of one socket before others get their turn
IPV6_RECVPKTINFO, IPV6_PKTINFO, IP_PKTINFO = 49, 50, 8
_ANCILLARY = 64

_Control = list[tuple[int, int, bytes]]


class Datagrams:
    """One published port; `close` gives up its socket and every client's."""

    def __init__(self, listener: socket.socket, address: str, port: int) -> None:
        self._listener = listener
        self._target = (address, port)
        self._six = listener.family == socket.AF_INET6
        self._clients: dict[Any, _Client] = {}
        listener.setblocking(False)
        if self._six:
            listener.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        else:
            listener.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        loop = asyncio.get_running_loop()
        loop.add_reader(listener.fileno(), self._readable)
        self._timer = loop.call_later(IDLE_SECONDS / 3, self._tidy)

    def close(self) -> None:
        self._timer.cancel()
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        for key in list(self._clients):
            self._clients.pop(key).close()

    def _readable(self) -> None:
        for _ in range(TURN):
            try:
                data, ancillary, _, peer = self._listener.recvmsg(BYTES, _ANCILLARY)
            except OSError:
                return
            control = _local(ancillary, six=self._six)
            client = self._client(peer, control)
            if client is not None:
                client.send(data)

    def _client(self, peer: Any, control: _Control) -> _Client | None:
        key = (peer, control[0][2] if control else b"")
        client = self._clients.pop(key, None)
        if client is None:
            if len(self._clients) >= CLIENTS:
                self._clients.pop(next(iter(self._clients))).close()
            try:
                client = _Client(self._listener, self._target, peer, control)
            except OSError:
                return None
        self._clients[key] = client  # the order of the dict is that of use
        return client

    def _tidy(self) -> None:
        loop = asyncio.get_running_loop()
        for key, client in list(self._clients.items()):
            if client.used < loop.time() - IDLE_SECONDS:
                self._clients.pop(key).close()
        self._timer = loop.call_later(IDLE_SECONDS / 3, self._tidy)


class _Client:
    """A socket that only the container answers to."""

    def __init__(
        self, listener: socket.socket, target: tuple[str, int], peer: Any, control: _Control
    ) -> None:
        self._listener = listener
        self._peer = peer
        self._control = control
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(target)
        except OSError:
            self._socket.close()
            raise
        self.used = 0.0
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def send(self, data: bytes) -> None:
        self.used = asyncio.get_running_loop().time()
        with contextlib.suppress(OSError):  # as lost as on any wire
            self._socket.send(data)

    def _readable(self) -> None:
        for _ in range(TURN):
            try:
                data = self._socket.recv(BYTES)
            except OSError:
                return
            self.used = asyncio.get_running_loop().time()
            with contextlib.suppress(OSError):
                self._listener.sendmsg([data], self._control, 0, self._peer)


def _local(ancillary: _Control, *, six: bool) -> _Control:
    """What to send with an answer, so that it leaves from the address that was asked."""
    for level, kind, data in ancillary:
        if six and (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            return [(level, kind, data)]
        if not six and (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            # in_pktinfo: index, spec_dst, addr; spec_dst is what the answer leaves from, by any link
            return [(level, kind, bytes(4) + data[4:8] + bytes(4))]
    return []

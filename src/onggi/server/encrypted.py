"""TLS in front of connections: what a client encrypts goes on as plain bytes through a pair of sockets.

    client == TLS ==> Encrypted (tls.py) --- pair of sockets --- Connection (connection.py)

A connection is made only when the handshake is over: with `tlsverify` whoever has no certificate of the
authority gets no byte of an answer. The descriptor of a hijacked connection is the pair's end, so it can go
to a shim; an attached stream over TLS ends with the daemon, one on the unix socket does not.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import cast

from onggi.engine.access.callers import Caller
from onggi.server.crowd import Crowd
from onggi.tls import Tls

HANDSHAKE_SECONDS = 10.0

log = logging.getLogger("onggi.server")


class Encrypted(asyncio.Protocol):
    """The client's side. Either side that does not read stops the reading of the other."""

    def __init__(
        self,
        context: ssl.SSLContext,
        accept: Callable[[Caller], asyncio.Protocol],
        fronts: set[Encrypted],
        crowd: Crowd,
    ) -> None:
        self._crowd = crowd
        self._tls = Tls(context, server_side=True)
        self._accept = accept
        self._fronts = fronts
        self._transport: asyncio.Transport
        self._early = b""
        self._opening: asyncio.Task[None] | None = None
        self._plain: _Plain | None = None
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self._transport.abort)
        self._fronts.add(self)
        self._crowd.enter(self, descriptors=2)  # and the connection behind

    def data_received(self, data: bytes) -> None:
        try:
            plain = self._tls.feed(data)
        except ssl.SSLError as error:
            log.info("TLS of %s: %s", self._transport.get_extra_info("peername"), error.reason or error)
            self._flush()  # the alert says why
            self._transport.close()
            return
        self._flush()
        if self._plain is not None:
            self._plain.send(plain, ended=self._tls.ended)
        elif self._tls.shaken:
            self._early += plain
            if self._opening is None:
                self._timer.cancel()
                self._transport.pause_reading()
                self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        await loop.connect_accepted_socket(lambda: self._accept(self._caller()), theirs)
        _, self._plain = await loop.connect_accepted_socket(lambda: _Plain(self), ours)
        if self._transport.is_closing():
            self._plain.close()
            return
        self._transport.resume_reading()  # first: what is sent may be so much that it stops the reading
        self._plain.send(self._early, ended=self._tls.ended)

    @property
    def idle(self) -> bool:
        """The handshake is not over."""
        return self._opening is None

    def _caller(self) -> Caller:
        address = self._transport.get_extra_info("peername")
        return Caller(name=self._tls.peer_name(), address=str(address[0]) if address else "")

    def send(self, data: bytes) -> None:
        self._tls.seal(data)
        self._flush()

    def close_write(self) -> None:
        self._tls.close_write()
        self._flush()

    def close(self) -> None:
        self._transport.close()

    def _flush(self) -> None:
        if data := self._tls.take():
            self._transport.write(data)

    def pause(self, paused: bool) -> None:
        """The connection behind does not read, or reads again."""
        _pause(self._transport, paused)

    def pause_writing(self) -> None:
        if self._plain is not None:
            self._plain.pause(True)

    def resume_writing(self) -> None:
        if self._plain is not None:
            self._plain.pause(False)

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._fronts.discard(self)
        self._crowd.leave(self)
        if self._plain is not None:
            self._plain.close()


def _pause(transport: asyncio.Transport, paused: bool) -> None:
    if transport.is_closing():
        return
    if paused:
        transport.pause_reading()
    else:
        transport.resume_reading()


class _Plain(asyncio.Protocol):
    """The engine's side of the pair."""

    def __init__(self, front: Encrypted) -> None:
        self._front = front
        self._transport: asyncio.Transport
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes, *, ended: bool) -> None:
        if self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
        if ended and not self._ended:
            self._ended = True
            self._transport.write_eof()

    def pause(self, paused: bool) -> None:
        _pause(self._transport, paused)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._front.send(data)

    def eof_received(self) -> bool:
        self._front.close_write()
        return True

    def pause_writing(self) -> None:
        self._front.pause(True)

    def resume_writing(self) -> None:
        self._front.pause(False)

    def connection_lost(self, error: Exception | None) -> None:
        self._front.close()

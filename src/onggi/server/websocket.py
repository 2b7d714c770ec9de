"""Attaching over a WebSocket (RFC 6455): the daemon stands between the client's frames and the shim's bytes.

    client  == frames ==  relay  -- bytes --  shim

The verb gets one end of a socket pair in place of the connection. Output goes out as binary messages (text
before API 1.28); what the client sends, of either kind, is input; its close ends the input. Frames are
wsproto's business.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from onggi.errors import InvalidParameter
from onggi.server.messages import Hijacked, Request

READ_BYTES = 1 << 16
NORMAL, PROTOCOL_ERROR = 1000, 1002


def hijack(request: Request) -> Callable[[], Awaitable[Hijacked]]:
    """How the verb gets its end. Raises InvalidParameter for a request that is no WebSocket handshake."""
    key = request.headers.get("sec-websocket-key", "")
    if request.upgrade.lower() != "websocket" or not key:
        raise InvalidParameter(
            "not a WebSocket handshake: Upgrade: websocket and Sec-WebSocket-Key are needed"
        )
    if request.headers.get("sec-websocket-version") != "13":
        raise InvalidParameter("unsupported version of WebSocket: 13 is spoken here")
    accept = generate_accept_token(key.encode("latin-1")).decode()
    binary = request.version >= (1, 28)

    async def take() -> Hijacked:
        taken = await request.change_protocol("websocket", (("Sec-WebSocket-Accept", accept),))
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        relay = _Relay(taken.sock, ours, binary=binary)
        request.engine.task(relay.run(taken.early), "websocket")
        return Hijacked(theirs, b"")

    return take


class _Relay:
    """Owns both sockets from its run on."""

    def __init__(self, client: socket.socket, shim: socket.socket, *, binary: bool) -> None:
        self._client, self._shim = client, shim
        self._binary = binary
        self._frames = Connection(ConnectionType.SERVER)
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()  # both directions send to the client: one frame after the other

    async def run(self, early: bytes) -> None:
        """Until the container's end has been told, or the client has gone."""
        with self._client, self._shim:
            incoming = asyncio.create_task(self._take_input(early))
            outgoing = asyncio.create_task(self._give_output())
            try:
                await asyncio.wait([incoming, outgoing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                incoming.cancel()
                outgoing.cancel()
                await asyncio.gather(incoming, outgoing, return_exceptions=True)

    async def _take_input(self, early: bytes) -> None:
        data = early
        try:
            while True:
                if data:
                    self._frames.receive_data(data)
                    for event in self._frames.events():
                        await self._handle(event)
                data = await self._loop.sock_recv(self._client, READ_BYTES)
                if not data:
                    return
        except RemoteProtocolError as error:
            await self._send(CloseConnection(code=PROTOCOL_ERROR, reason=str(error)[:100]))
        except OSError:
            return

    async def _handle(self, event: Event) -> None:
        if isinstance(event, Message):
            data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
            await self._loop.sock_sendall(self._shim, data)
        elif isinstance(event, Ping):
            await self._send(event.response())
        elif isinstance(event, CloseConnection):
            self._shim.shutdown(socket.SHUT_WR)
            await self._send(event.response())
            raise ConnectionResetError

    async def _give_output(self) -> None:
        try:
            while data := await self._loop.sock_recv(self._shim, READ_BYTES):
                text = None if self._binary else data.decode("utf-8", "replace")
                await self._send(BytesMessage(data=data) if text is None else TextMessage(data=text))
            await self._send(CloseConnection(code=NORMAL))
        except OSError:
            return

    async def _send(self, event: Event) -> None:
        async with self._sending:
            try:
                data = self._frames.send(event)
            except LocalProtocolError:
                return  # a close was sent before
            await self._loop.sock_sendall(self._client, data)

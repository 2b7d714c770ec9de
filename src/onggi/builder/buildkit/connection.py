"""HTTP/2 on a connection that was handed over: as the server for /grpc, as the client for /session.

Bytes that came with the head of the upgrade are given to the protocol before it reads any others. A message
says its length before it comes: one that is longer than MESSAGE_MAX is not waited for.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol, Stream
from grpclib.server import Server

from onggi.builder.buildkit.calls import Details
from onggi.builder.buildkit.frames import Joiner
from onggi.builder.buildkit.unknown import Methods

MESSAGE_MAX = 16 << 20  # what BuildKit's own server takes


class _Stream(Stream):
    async def recv_data(self, size: int) -> bytes:
        if size > MESSAGE_MAX:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED, f"a message of {size} bytes: more than {MESSAGE_MAX} are not taken"
            )
        return await super().recv_data(size)


class _Protocol(H2Protocol):
    """HTTP/2, with the bytes that came early, and an event for its end."""

    def __init__(self, made: H2Protocol, early: bytes, config: Any, h2_config: Any) -> None:
        super().__init__(made.handler, config, h2_config)
        self._early = early
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        setattr(self.connection, "create_stream", self._stream)  # noqa: B010, the type says it is a method
        if self._early:
            self.data_received(self._early)

    def _stream(self, **options: Any) -> Stream:
        connection = self.connection
        return _Stream(connection, connection._connection, connection._transport, **options)

    def connection_lost(self, error: BaseException | None) -> None:
        super().connection_lost(error)
        self.ended.set()


class _Server(Server):
    def __init__(self, services: Sequence[Any]) -> None:
        super().__init__(services, status_details_codec=Details())
        self._mapping = Methods(self._mapping)

    async def serve(self, sock: socket.socket, early: bytes) -> None:
        protocol = _Protocol(self._protocol_factory(), early, self._config, self._h2_config)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)
        try:
            await protocol.ended.wait()
        finally:
            transport.abort()
            protocol.handler.close()


async def serve(services: Sequence[Any], sock: socket.socket, early: bytes) -> None:
    """Answer calls of these services until the connection ends. What still runs then is cancelled."""
    await _Server(services).serve(sock, early)


class _Client(_Protocol):
    """To a client's services, which send many small messages."""

    def __init__(self, made: H2Protocol, early: bytes, config: Any, h2_config: Any) -> None:
        super().__init__(made, early, config, h2_config)
        self._joiner = Joiner()

    def data_received(self, data: bytes) -> None:
        super().data_received(self._joiner.feed(data))


class Called(Channel):
    """A client's session: calls go to the client over the connection that it made. One connection, once."""

    def __init__(self, sock: socket.socket, early: bytes) -> None:
        super().__init__("session", 0)
        self._sock = sock
        self._early = early
        self.protocol: _Protocol | None = None

    async def _create_connection(self) -> H2Protocol:
        if self.protocol is not None:
            raise ConnectionError("the client's session has ended")
        made = _Client(self._protocol_factory(), self._early, self._config, self._h2_config)
        self.protocol = made
        await asyncio.get_running_loop().create_connection(lambda: made, sock=self._sock)
        return made

    async def ended(self) -> None:
        """Connect, and wait for the end."""
        await self.__connect__()
        assert self.protocol is not None
        await self.protocol.ended.wait()

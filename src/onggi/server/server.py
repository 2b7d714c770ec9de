"""The Engine API's server: listens, accepts, has requests answered.

    async with Server(engine, table) as server:
        await server.listen(sock)
        ...

Leaving closes the listeners at once, ends streams, and gives the verbs that are being answered some seconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable
from functools import partial
from typing import Any

from onggi.server import errors
from onggi.server.connection import Connection
from onggi.server.encrypted import Encrypted
from onggi.server.messages import Request, Response, Stream
from onggi.server.router import Entry, Router

CLOSE_SECONDS = 5.0
BACKLOG = 1024

log = logging.getLogger("onggi.server")


class Server:
    """Serves one engine on any number of listening sockets."""

    def __init__(self, engine: Any, table: Iterable[Entry]) -> None:
        self._engine = engine
        self._router = Router(table)
        self._connections: set[Connection] = set()
        self._fronts: set[Encrypted] = set()
        self._listeners: list[asyncio.Server] = []

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve a bound socket; the server owns it from here on. `tls` is for tcp alone."""
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            listener = await loop.create_unix_server(self._connection, sock=sock, backlog=BACKLOG)
        else:
            accept = self._connection if tls is None else partial(self._encrypted, tls)
            listener = await loop.create_server(accept, sock=sock, backlog=BACKLOG)
        self._listeners.append(listener)

    def _connection(self) -> Connection:
        return Connection(self.answer, self._engine, self._connections)

    def _encrypted(self, tls: ssl.SSLContext) -> Encrypted:
        return Encrypted(tls, self._connection, self._fronts)

    async def answer(self, request: Request) -> Response | Stream | None:
        """Find and call the handler; errors become answers here."""
        what = f"{request.method} {request.path}"
        log.debug("Calling %s", what)
        try:
            handler = self._router.find(request)
            return await handler(request)
        except Exception as error:
            return errors.response_of(error, what)

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Stop listening and end all connections; what is being answered gets some seconds."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.close()
        waiting = {asyncio.ensure_future(c.closed()): c for c in list(self._connections)}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=seconds)
            for task in late:
                waiting[task].cancel()
        for front in list(self._fronts):
            front.close()
        self._listeners.clear()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
from urllib.parse import parse_qs, quote

from onggi.engine.access import audit, callers, check
from onggi.engine.access.callers import Caller
from onggi.server import errors
from onggi.server.connection import Connection
from onggi.server.crowd import Crowd, Refused
from onggi.server.encrypted import Encrypted
from onggi.server.messages import Request, Response, Stream
from onggi.server.router import Entry, Router, cleaned

CLOSE_SECONDS = 5.0
BACKLOG = 1024
ACCEPTS = 128  # at a time: asyncio takes as many before it makes a connection of the first
QUERY_BYTES = 16384

log = logging.getLogger("onggi.server")


class Server:
    """Serves one engine on any number of listening sockets."""

    def __init__(self, engine: Any, table: Iterable[Entry]) -> None:
        self._engine = engine
        self._router = Router(table)
        self._connections: set[Connection] = set()
        self._fronts: set[Encrypted] = set()
        self._crowd = Crowd()
        self._listeners: list[asyncio.Server] = []

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve a bound socket; the server owns it from here on. `tls` is for tcp alone."""
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            listener = await loop.create_unix_server(self._connection, sock=sock, backlog=ACCEPTS)
        else:
            accept = self._connection if tls is None else partial(self._encrypted, tls)
            listener = await loop.create_server(accept, sock=sock, backlog=ACCEPTS)
        sock.listen(BACKLOG)
        self._listeners.append(listener)

    def _connection(self) -> asyncio.Protocol:
        return self._for(None) if self._crowd.room() else Refused(told=True)

    def _for(self, caller: Caller | None) -> Connection:
        return Connection(self.answer, self._engine, self._connections, self._crowd, caller)

    def _encrypted(self, tls: ssl.SSLContext) -> asyncio.Protocol:
        if not self._crowd.room():
            return Refused(told=False)
        return Encrypted(tls, self._for, self._fronts, self._crowd)

    async def answer(self, request: Request) -> Response | Stream | None:
        """Find and call the handler; errors become answers here."""
        if (clean := cleaned(request.path)) != request.path:
            where = quote(clean) + (f"?{request.query_text}" if request.query_text else "")
            return Response(301, headers=(("Location", where),))  # nothing was done
        what = f"{request.method} {request.path}"
        log.debug("Calling %s", what)
        try:
            handler = self._router.find(request)
            check.check(self._engine, request.method, request.route, request.params, request.query_text)
            answer = await handler(request)
        except Exception as error:
            answer = errors.response_of(error, what)
        self._note(request, answer)
        return answer

    def _note(self, request: Request, answer: Response | Stream | None) -> None:
        """Into the audit log; a connection that was taken over counts as answered with 101."""
        status = answer.status if answer is not None else 101
        if self._engine.audit is not None and audit.wanted(request.method, request.route, status):
            query = parse_qs(request.query_text[:QUERY_BYTES])
            self._engine.audit.write(
                callers.current(), request.method, request.route, request.path, request.params, query, status
            )

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

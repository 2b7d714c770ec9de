"""One client's connection: bytes in and out, one request after the other, as HTTP/1.1 (h11).

A task for each connection reads a request, has it answered, writes the answer, and begins again. What was
read ahead waits in h11 (pipelined requests); more than READ_AHEAD_BYTES of it stops the reading, and a client
that does not read stops the writing, so a slow one holds its own task and a few buffers, and nobody else.

    idle -> head -> answering -> (body, drained) -> idle ...
                       |-> hijacked: the socket leaves asyncio and belongs to the verb
                       |-> streaming: ends as soon as the client closes or half-closes

A client that vanishes during an ordinary verb changes nothing: the verb is finished, as dockerd does.
Not here: which verb (server.py, router.py), what errors look like (errors.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import h11

from onggi import __version__
from onggi.engine.access import callers
from onggi.engine.access.callers import Caller
from onggi.errors import InvalidParameter
from onggi.server import errors
from onggi.server.crowd import Crowd
from onggi.server.messages import Hijacked, Request, Response, Stream
from onggi.server.router import VERSION_TEXT

READ_AHEAD_BYTES = 256 << 10
HEAD_LIMIT_BYTES = 128 << 10
DRAIN_BYTES = 256 << 10  # what is read of a body that nobody wanted, so that the connection can go on
SO_SNDBUFFORCE = 32  # socket(7); Python has no name for it
SEND_BYTES = 1 << 20
COPIED_BYTES = 16 << 10  # a shorter piece of an answer is joined with its frame
LINGER_SECONDS = 10.0  # a client that sends on a busy machine pauses for seconds
HANGUP_SECONDS = 1.0

Answer = Callable[[Request], Awaitable[Response | Stream | None]]

_STANDING = [
    (b"Api-Version", VERSION_TEXT.encode()),
    (b"Docker-Experimental", b"false"),
    (b"Ostype", b"linux"),
    (b"Server", f"Onggi/{__version__} (linux)".encode()),
]
_BODILESS = (204, 304)


class Vanished(Exception):
    """The client went away while we were writing."""


class Connection(asyncio.Protocol):
    """The protocol of one accepted socket; `answer` turns a request into an answer and errors as well."""

    def __init__(
        self,
        answer: Answer,
        engine: Any,
        connections: set[Connection],
        crowd: Crowd,
        caller: Caller | None = None,
    ) -> None:
        self._crowd = crowd
        self._caller = caller  # of a connection that is not the client's own socket (encrypted.py)
        self._answer = answer
        self._engine = engine
        self._connections = connections
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]
        self._roomy = False  # the socket holds SEND_BYTES: long bodies only, it is the kernel's memory
        self._waiters: set[asyncio.Future[None]] = set()  # for bytes to read, or for room to write
        self._unread = 0
        self._reading = True
        self._writable = True
        self._lost = False
        self._ended = False  # the client has sent its last byte
        self._closing = False  # the server wants no further request
        self._streaming = False
        self._given_away = False
        self._bodiless = False  # the request was a HEAD
        self.idle = True

    # ------------------------------------------------------------------------------- asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._crowd.enter(self)
        callers.enter(self._caller or callers.of_socket(transport.get_extra_info("socket")))
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="connection")
        callers.enter(None)  # whatever else happens in this context is not for him

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._unread += len(data)
        if self._unread > READ_AHEAD_BYTES and self._reading:
            self._reading = False
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._http.receive_data(b"")
        self._wake()
        if self._streaming:
            self._task.cancel()
        return True  # a client may close its half and still want the answer

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self._ended = True
        self._wake()
        if self._streaming and not self._given_away:
            self._task.cancel()

    def close(self) -> None:
        """End the connection: at once when it is idle or streams, else after the answer."""
        if self.idle or self._streaming:
            self._task.cancel()
        else:
            self._closing = True

    def cancel(self) -> None:
        """End the connection now, whatever it does: a thread that still waits for the body sees its end."""
        self._task.cancel()
        self._transport.abort()

    async def closed(self) -> None:
        """Wait for the connection's task."""
        await asyncio.wait([self._task])

    # ------------------------------------------------------------------------------- the task

    async def _serve(self) -> None:
        try:
            while await self._exchange():
                pass
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
        except (Vanished, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(self)
            self._crowd.leave(self)
            if not self._given_away:
                self._transport.close()

    async def _exchange(self) -> bool:
        """One request and its answer; False when the connection is at its end."""
        self.idle = True
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return False
        self.idle = False
        self._bodiless = event.method == b"HEAD"
        request = _request(event, self, self._engine)
        if isinstance(request, Response):
            answer: Response | Stream | None = request
        else:
            answer = await self._answer(request)
        if self._given_away:
            return False
        if answer is None:
            answer = Response(204)
        if isinstance(answer, Stream):
            await self._send_stream(answer)
        else:
            await self._drain_request()
            await self._send_response(answer)
        return await self._go_on()

    async def _next_event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._unread = 0
            if self._ended and self._http.their_state is not h11.SEND_BODY and self.idle:
                return h11.ConnectionClosed()
            if self._lost:
                raise Vanished
            await self._wait_readable()

    async def _wait_readable(self) -> None:
        if not self._reading and not self._ended:
            self._reading = True
            self._transport.resume_reading()
        await self._wait()

    async def _wait(self) -> None:
        """Until something has changed. A body may be read while the answer is written: two may wait."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ------------------------------------------------------------------------------- the request's body

    async def body(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come, all that are at hand in one piece: clients send chunks of 32 KiB.

        Raises InvalidParameter when it is cut off or badly framed.
        """
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        parts: list[bytes | bytearray] = []
        while self._http.their_state is h11.SEND_BODY:
            try:
                event = self._http.next_event() if parts else await self._next_event()
            except h11.RemoteProtocolError as error:
                if parts:
                    yield b"".join(parts)  # what came before the fault
                raise InvalidParameter(f"invalid request body: {error}") from None
            if isinstance(event, h11.Data):
                self._unread = max(0, self._unread - len(event.data))
                parts.append(event.data)  # joined below: not copied twice
            elif parts and event is h11.NEED_DATA:
                whole, parts = b"".join(parts), []
                yield whole
        if parts:
            yield b"".join(parts)

    async def _drain_request(self) -> None:
        """Read away a small rest of the body, so that the connection can be used again."""
        if self._http.their_state is not h11.SEND_BODY or self._http.they_are_waiting_for_100_continue:
            return
        size = 0
        try:
            async for piece in self.body():
                size += len(piece)
                if size > DRAIN_BYTES:
                    return
        except InvalidParameter:
            return

    # ------------------------------------------------------------------------------- the answer

    def _head(self, answer: Response | Stream, length: int | None = None) -> h11.Response:
        if answer.status in _BODILESS:
            length = None
        close = self._http.their_state in (h11.SEND_BODY, h11.ERROR) or self._closing
        return _head(answer.status, answer.content_type, tuple(answer.headers), length, close, _date())

    async def _send_response(self, answer: Response) -> None:
        data = self._http.send(self._head(answer, len(answer.body))) or b""
        if answer.body and not self._bodiless:
            data += self._http.send(h11.Data(data=answer.body)) or b""
        await self._write(data + (self._http.send(h11.EndOfMessage()) or b""))

    async def _send_stream(self, answer: Stream) -> None:
        watch = asyncio.create_task(self._watch_half_closed()) if self._ended else None
        self._streaming = True
        try:
            if not answer.reads:
                await self._drain_request()
            await self._write(self._http.send(self._head(answer)))
            async for chunk in answer.chunks:
                if chunk:
                    await self._write_chunk(chunk)
            await self._write(self._http.send(h11.EndOfMessage()))
        finally:
            self._streaming = False
            if watch is not None:
                watch.cancel()
            close = getattr(answer.chunks, "aclose", None)
            if close is not None:
                await close()

    async def _watch_half_closed(self) -> None:
        """End a stream whose client had closed its half before, once the other half is closed too.

        After an end of file asyncio no longer watches the socket; POLLHUP tells when both halves are closed.
        """
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        while not poll.poll(0):  # noqa: ASYNC110  nothing in asyncio waits for a hang-up alone
            await asyncio.sleep(HANGUP_SECONDS)
        self._task.cancel()

    async def _write_chunk(self, chunk: bytes) -> None:
        """A piece of the body; a large one is not copied to be framed, and leaves in one call."""
        if len(chunk) < COPIED_BYTES:
            await self._write(self._http.send(h11.Data(data=chunk)))
            return
        if not self._roomy:
            self._roomy = True
            own = self._transport.get_extra_info("socket")
            if own is not None and own.family == socket.AF_UNIX:  # TCP sizes its buffers by itself
                with contextlib.suppress(OSError):  # without CAP_NET_ADMIN: what the kernel gives everybody
                    own.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BYTES)
        for part in self._http.send_with_data_passthrough(h11.Data(data=chunk)) or ():
            await self._write(part)

    async def _write(self, data: bytes | None) -> None:
        if self._lost or self._transport.is_closing():
            raise Vanished
        if data:
            self._transport.write(data)
        while not self._writable:
            if self._lost:
                raise Vanished
            await self._wait()

    async def _go_on(self) -> bool:
        """Make ready for the next request; False when this was the last one."""
        if self._closing:
            return False
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        if self._http.their_state is h11.SEND_BODY:
            await self._linger()
        return False

    async def _linger(self) -> None:
        """Take what the client still sends, so that closing does not cut our answer off (RFC 9112, 9.6)."""
        deadline = time.monotonic() + LINGER_SECONDS
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._http = h11.Connection(h11.SERVER)  # what comes now is nobody's
        while not self._ended and time.monotonic() < deadline:
            self._http = h11.Connection(h11.SERVER)
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._wait_readable()
            except TimeoutError:
                return

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """Answer bytes that are not HTTP, when we still may, and close."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        status = error.error_status_hint or 400
        answer = errors.response_of(
            InvalidParameter(f"malformed HTTP request: {error}"), "a malformed request"
        )
        answer.status = status
        try:
            await self._send_response(answer)
            await self._linger()
        except (Vanished, h11.LocalProtocolError):
            return

    # ------------------------------------------------------------------------------- hijack

    async def hijack(self, upgrade: str, headers: tuple[tuple[str, str], ...]) -> Hijacked:
        """Leave HTTP: write the head, take the socket out of asyncio, return it with what came early.

        The head is on its way before this returns, and so before any process starts: docker-py drops bytes
        that arrive in the same segment as the head of a 101.
        """
        await self._drain_request()
        if self._http.their_state is h11.SEND_BODY:
            raise InvalidParameter("the request has more body than this operation takes")
        self._transport.pause_reading()
        early = bytes(self._http.trailing_data[0])
        self._transport.set_write_buffer_limits(0)
        await self._write(_hijack_head(upgrade, headers))
        sock = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))
        self._given_away = True
        self._transport.abort()  # closes asyncio's descriptor; ours keeps the connection
        return Hijacked(sock, early)


@lru_cache(256)
def _head(
    status: int,
    content_type: str,
    more: tuple[tuple[str, str], ...],
    length: int | None,
    close: bool,
    date: bytes,
) -> h11.Response:
    """A head, checked by h11; who asks the same several times a second gets the same one."""
    headers = [*_STANDING, (b"Date", date)]
    if status not in _BODILESS:
        headers.append((b"Content-Type", content_type.encode("latin-1")))
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in more]
    if length is not None:
        headers.append((b"Content-Length", str(length).encode()))
    if close:
        headers.append((b"Connection", b"close"))
    return h11.Response(status_code=status, headers=headers, reason=_reason(status))


@cache
def _reason(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()


def _hijack_head(upgrade: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    kind = "".join(f"{name}: {value}\r\n" for name, value in headers)
    standing = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in _STANDING)
    if upgrade:
        head = f"HTTP/1.1 101 UPGRADED\r\n{kind}Connection: Upgrade\r\nUpgrade: {upgrade}\r\n{standing}\r\n"
    else:
        head = f"HTTP/1.1 200 OK\r\n{kind}{standing}\r\n"
    return head.encode("latin-1")


def _request(event: h11.Request, connection: Connection, engine: Any) -> Request | Response:
    """The head as a request; a target that is no path is answered at once."""
    target = event.target.decode("latin-1")
    if target.startswith(("http://", "https://")):  # absolute form, RFC 9112 3.2.2
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    method = event.method.decode("latin-1")
    if not event.http_version.startswith(b"1."):
        version = event.http_version.decode()
        refusal = errors.response_of(InvalidParameter(f"HTTP/{version} is not spoken here"), method)
        refusal.status = 505
        return refusal
    if not path.startswith("/"):
        return errors.response_of(InvalidParameter(f"invalid request target: {target}"), method)
    return Request(method, unquote(path), query, headers, connection, engine)


_date_cache = (0, b"")


def _date() -> bytes:
    """The Date header, made once a second."""
    global _date_cache
    second = int(time.time())
    if _date_cache[0] != second:
        _date_cache = (second, formatdate(second, usegmt=True).encode())
    return _date_cache[1]

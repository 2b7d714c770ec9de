"""What passes between a connection and the handlers: a request in, one of three answers out.

Response   head and body at once
Stream     a head at once, then chunks as they come; ends when the client goes away
None       the connection was given up: the handler called `request.hijack`
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qs

from onggi.errors import InvalidParameter, TooLarge
from onggi.server import versions
from onggi.spec import truth
from onggi.wire.base import Wire, decode

JSON = "application/json"
RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
TAR = "application/x-tar"

# The largest JSON body: a create request with all its environment is well below it.
JSON_LIMIT_BYTES = 4 << 20

W = TypeVar("W", bound=Wire)


class Hijacked(NamedTuple):
    """A connection that HTTP has left: non-blocking, owned by its holder; `early` came with the request."""

    sock: socket.socket
    early: bytes


class Response:
    """Status, body and headers; Content-Length follows from the body."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        content_type: str = JSON,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers


class Stream:
    """Status and chunks; the head is sent before the first chunk is waited for. `reads`: whoever makes the
    chunks still reads the request's body.
    """

    __slots__ = ("chunks", "content_type", "headers", "reads", "status")

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        content_type: str = JSON,
        status: int = 200,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        reads: bool = False,
    ) -> None:
        self.chunks = chunks
        self.reads = reads
        self.content_type = content_type
        self.status = status
        self.headers = headers


class Exchange(Protocol):
    """The connection's side of one request."""

    def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives; says 100 Continue first where the client waits for that."""
        ...

    async def hijack(self, upgrade: str, headers: tuple[tuple[str, str], ...]) -> Hijacked:
        """Write the 101 head (or the old 200, where `upgrade` is empty) and let go of the socket."""
        ...


_FALSE = frozenset({"", "0", "no", "false", "none"})


class Request:
    """One request, with its path's parameters; `version` is (major, minor) of the API that was asked for."""

    __slots__ = (
        "_exchange",
        "_query",
        "engine",
        "headers",
        "method",
        "params",
        "path",
        "query_text",
        "route",
        "version",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query_text: str,
        headers: dict[str, str],
        exchange: Exchange,
        engine: Any,
    ) -> None:
        self.method = method
        self.path = path
        self.query_text = query_text
        self.headers = headers  # names in lower case; the last of several counts
        self.engine = engine
        self.params: dict[str, str] = {}
        self.version = (0, 0)
        self.route = ""  # the pattern of the path, as the table of operations has it
        self._exchange = exchange
        self._query: dict[str, list[str]] | None = None

    # ---------------------------------------------------------------------------------- query

    @property
    def query(self) -> dict[str, list[str]]:
        if self._query is None:
            try:
                self._query = parse_qs(self.query_text, keep_blank_values=True)
            except ValueError as error:
                raise InvalidParameter(f"invalid query: {error}") from None
        return self._query

    def has(self, name: str) -> bool:
        return name in self.query

    def text(self, name: str, default: str = "") -> str:
        """The first value of a parameter, as it stands."""
        values = self.query.get(name)
        return values[0] if values else default

    def texts(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated."""
        return self.query.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth as dockerd reads it: all is true but "", 0, no, false and none."""
        if name not in self.query:
            return default
        return self.text(name).strip().lower() not in _FALSE

    def truth(self, name: str, default: bool = False) -> bool:
        """A truth as Go's strconv.ParseBool reads it. Raises InvalidParameter."""
        text = self.text(name)
        if text in truth.TRUE:
            return True
        if text not in ("", *truth.FALSE):
            said = f'strconv.ParseBool: parsing "{text}": invalid syntax'
            raise InvalidParameter(f"invalid value for {name}: {text}: {said}")
        return False if text else default

    def number(self, name: str, default: int = 0) -> int:
        """A whole number. Raises InvalidParameter with strconv's words."""
        text = self.text(name)
        if not text:
            return default
        digits = text.removeprefix("-").removeprefix("+")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            raise InvalidParameter(f'strconv.Atoi: parsing "{text}": invalid syntax')
        return int(text)

    # ---------------------------------------------------------------------------------- body

    async def json(self, kind: type[W]) -> W:
        """The body as a wire type. Raises InvalidParameter, TooLarge."""
        body = await self.document()
        return decode(kind, body)

    async def optional_json(self, kind: type[W]) -> W:
        """The same, where no body at all is a body of defaults."""
        body = await self.document()
        return decode(kind, body) if body.strip() else kind()

    async def document(self) -> bytes:
        """The whole body, which must be JSON. Raises InvalidParameter, TooLarge."""
        pieces = []
        size = 0
        async for piece in self._exchange.body():
            size += len(piece)
            if size > JSON_LIMIT_BYTES:
                raise TooLarge(f"request body is larger than {JSON_LIMIT_BYTES} bytes")
            pieces.append(piece)
        if size:
            self._check_json()
        return b"".join(pieces)

    def _check_json(self) -> None:
        given = self.headers.get("content-type", "")
        if given.partition(";")[0].strip().lower() != JSON:
            raise InvalidParameter(f"unsupported Content-Type header ({given}): must be '{JSON}'")

    def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces, for archives; back-pressure reaches the client."""
        return self._exchange.body()

    # ---------------------------------------------------------------------------------- answer

    def reply(self, value: object, status: int = 200) -> Response:
        """A wire value, or a list of them, as the version that was asked for writes it."""
        return Response(status, versions.body(self.method, self.route, self.version, value))

    # ---------------------------------------------------------------------------------- hijack

    @property
    def upgrade(self) -> str:
        """The protocol that the client wants to change to, or nothing."""
        return self.headers.get("upgrade", "")

    def hijack(self, *, tty: bool) -> Callable[[], Awaitable[Hijacked]]:
        """How a verb takes this connection over, once it has checked everything else."""
        multiplexed = not tty and self.version >= (1, 42)
        content_type = MULTIPLEXED_STREAM if multiplexed else RAW_STREAM

        async def take() -> Hijacked:
            return await self._exchange.hijack(self.upgrade, (("Content-Type", content_type),))

        return take

    async def change_protocol(self, upgrade: str, headers: tuple[tuple[str, str], ...]) -> Hijacked:
        """Answer 101 with these headers; the connection is the caller's from here on."""
        return await self._exchange.hijack(upgrade, headers)

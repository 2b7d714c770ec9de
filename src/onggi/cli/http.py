"""HTTP/1.1 over a raw socket, as much of it as the Engine API needs.

`Connection` owns one socket: requests with a body of known length or in chunks, answers by length, in
chunks or until the end, keep-alive, and upgrades (the socket is then the caller's). The `socket` module
costs 9 ms, `_socket` half a millisecond; TLS imports `ssl` when it is asked for. Source: RFC 9112. Not
here: which address (engine.py).
"""

from __future__ import annotations

import _socket

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_CHUNK = 65536
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/:")


def quote(text: str, safe: str = "/:") -> str:
    """Percent-encode for a path or a query; `/` and `:` stay unless `safe` is empty."""
    data = text.encode("utf-8", "surrogateescape")
    if all(byte in _PLAIN for byte in data) and (safe or not ({47, 58} & set(data))):
        return text
    kept = _PLAIN if safe else _PLAIN - {47, 58}
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in data)


def query(parameters: dict[str, Any]) -> str:
    """`?a=1&b=x`; None is left out, a list repeats its name, booleans are 1 and 0 as the Go client
    writes them.
    """
    pairs = []
    for name, value in parameters.items():
        if value is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            text = ("1" if item else "0") if isinstance(item, bool) else str(item)
            pairs.append(f"{name}={quote(text, '')}")
    return "?" + "&".join(pairs) if pairs else ""


class Response:
    """The head of an answer and its body as it arrives."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], *, empty: bool) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._left: int | None = None
        self._chunked = False
        self.done = False
        if empty or status in (204, 304) or status < 200:
            self.done = True
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            self._chunked = True
            self._left = 0
        elif "content-length" in headers:
            self._left = int(headers["content-length"])
            self.done = self._left == 0
        if headers.get("connection", "").lower() == "close":
            connection.reusable = False

    def read_some(self) -> bytes:
        """The next bytes of the body as soon as there are any; empty at its end."""
        if self.done:
            return b""
        connection = self._connection
        if self._chunked and self._left == 0:
            line = connection.read_line()
            self._left = int(line.split(b";")[0] or b"0", 16)
            if self._left == 0:
                while connection.read_line():
                    pass  # trailers: none is of use here
                self.done = True
                return b""
        data = connection.read_some(self._left)
        if not data:
            self.done = True
            connection.reusable = False
            if self._left is not None:
                raise CommandError("unexpected EOF")
            return b""
        if self._left is not None:
            self._left -= len(data)
            if self._chunked:
                if self._left == 0:
                    connection.read_line()
            elif self._left == 0:
                self.done = True
        return data

    def read(self) -> bytes:
        """The whole body."""
        parts = []
        while part := self.read_some():
            parts.append(part)
        return b"".join(parts)

    def lines(self) -> Iterator[bytes]:
        """The body cut at line ends, each line as soon as it is whole."""
        rest = b""
        while part := self.read_some():
            *whole, rest = (rest + part).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        """Give the connection up where the body was not read to its end."""
        if not self.done:
            self._connection.close()


class Connection:
    """One connection to an engine. `sock` is anything with sendall, recv, shutdown, close and fileno."""

    def __init__(self, sock: Any, host_header: str) -> None:
        self.sock = sock
        self.reusable = True
        self._host = host_header
        self._buffer = b""

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send one request and read the head of its answer. A body that is not bytes goes out in chunks."""
        head = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", "User-Agent: onggi"]
        for name, value in (headers or {}).items():
            head.append(f"{name}: {value}")
        if isinstance(body, bytes):
            head.append(f"Content-Length: {len(body)}")
            self.sock.sendall("\r\n".join([*head, "", ""]).encode() + body)
        elif body is None:
            if method == "POST":
                head.append("Content-Length: 0")
            self.sock.sendall("\r\n".join([*head, "", ""]).encode())
        else:
            head.append("Transfer-Encoding: chunked")
            self.sock.sendall("\r\n".join([*head, "", ""]).encode())
            self._send_chunks(body)
        return self._read_head(method)

    def begin(self, target: str) -> None:
        """Send a GET and do not wait: `finish` reads the answer. For many engines' answers at once."""
        self.sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: onggi\r\n\r\n".encode()
        )

    def finish(self) -> Response:
        """The answer to `begin`."""
        return self._read_head("GET")

    def _send_chunks(self, body: Iterable[bytes]) -> None:
        try:
            for part in body:
                if part:
                    self.sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            self.sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.reusable = False  # the engine has answered already: its answer says why

    def _read_head(self, method: str) -> Response:
        while True:
            line = self.read_line()
            parts = line.split(b" ", 2)
            if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
                self.close()
                raise CommandError(
                    "error during connect: malformed HTTP response" if line else "unexpected EOF"
                )
            headers: dict[str, str] = {}
            while header := self.read_line():
                name, _, value = header.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if int(parts[1]) != 100:
                return Response(self, int(parts[1]), headers, empty=method == "HEAD")

    def read_line(self) -> bytes:
        """One line without its end; empty at the end of the connection too."""
        while (end := self._buffer.find(b"\n")) < 0:
            data = self.sock.recv(_CHUNK)
            if not data:
                self.reusable = False
                line, self._buffer = self._buffer, b""
                return line
            self._buffer += data
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.removesuffix(b"\r")

    def read_some(self, limit: int | None) -> bytes:
        """Bytes that are here or arrive next, at most `limit`."""
        if self._buffer:
            size = len(self._buffer) if limit is None else limit
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        return bytes(self.sock.recv(_CHUNK if limit is None else min(limit, _CHUNK)))

    def take(self) -> tuple[Any, bytes]:
        """Hand over the socket of an upgraded connection, and what has been read beyond the head."""
        self.reusable = False
        early, self._buffer = self._buffer, b""
        return self.sock, early

    def close(self) -> None:
        self.reusable = False
        self.sock.close()


def connect_unix(path: str) -> Connection:
    """Raises OSError where nothing listens."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return Connection(sock, "api.moby.localhost")


def connect_tcp(host: str, port: int, tls: Any = None) -> Connection:
    """`tls` is an ssl.SSLContext, or None for plain text. Raises OSError."""
    failure: OSError = OSError(f"{host}: no address")
    for family, kind, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        if tls is not None:
            from onggi.cli import encrypted

            sock = encrypted.wrap(sock, tls, host)
        return Connection(sock, f"{host}:{port}")
    raise failure

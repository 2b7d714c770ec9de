"""The engine that a command talks to: where it is, and the calls that every verb uses.

Owns the choice of the address (-H, --context, DOCKER_HOST or ONGGI_HOST, else the default socket) and one
kept-alive connection. Paths are sent without a version: an engine then speaks its newest. Not here: bytes
on the wire (http.py), starting an engine (autostart.py), attached streams (streams.py).
"""

from __future__ import annotations

import os

from onggi import jsontext, paths
from onggi.cli import http
from onggi.cli.errors import CommandError, Refused, Unreachable
from onggi.paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


class Address:
    """`unix:///path`, `tcp://host:port` or `ssh://[user@]host[:port][/socket]`; did the user choose it?"""

    __slots__ = ("chosen", "host", "path", "port", "ssh", "url")

    def __init__(self, url: str, *, chosen: bool, tls: bool = False) -> None:
        self.chosen = chosen
        self.path = self.host = self.ssh = ""
        self.port = 0
        scheme, separator, rest = url.partition("://")
        if not separator:
            scheme, rest = "tcp", url
        if scheme == "unix":
            self.path = rest or Paths().socket
        elif scheme == "ssh" and rest:
            self.ssh = url
        elif scheme in ("tcp", "http", "https"):
            rest = rest.rstrip("/")
            self.host, _, port = (
                rest.rpartition(":") if ":" in rest else (rest, "", "2376" if tls else "2375")
            )
            self.host = self.host.strip("[]") or "127.0.0.1"
            if not port.isdigit():
                raise CommandError(f"unable to parse docker host `{url}`")
            self.port = int(port)
            rest = f"{self.host}:{self.port}"
        else:
            raise CommandError(f"unable to parse docker host `{url}`")
        self.url = f"{'tcp' if scheme in ('http', 'https') else scheme}://{rest}"


def default_socket() -> str:
    """The engine's socket of this user: the system's where he may use it, else his own engine's."""
    system = Paths().socket
    if os.getuid() == 0 or os.access(system, os.W_OK):
        return system
    return paths.rootless(os.environ, os.getuid())[0].socket


class Engine:
    """Calls to one engine. Raises Unreachable, Refused."""

    def __init__(self, address: Address, tls: Any = None) -> None:
        self.address = address
        self._tls = tls
        self._idle: http.Connection | None = None
        self.headers: dict[str, str] = {}  # of each request

    def connect(self) -> http.Connection:
        """A new connection; starts an engine where none answers and no address was chosen."""
        address = self.address
        if address.path:
            try:
                return http.connect_unix(address.path)
            except PermissionError:
                raise CommandError(
                    "permission denied while trying to connect to the Docker daemon socket at "
                    f"{address.url}: connect: permission denied"
                ) from None
            except OSError:
                if address.chosen:
                    raise Unreachable(address.url) from None
            from onggi.cli import autostart

            autostart.start(address.path)
            return http.connect_unix(address.path)
        if address.ssh:
            from onggi.cli import ssh

            return http.Connection(ssh.connect(address.ssh), "docker.example.com")
        try:
            return http.connect_tcp(address.host, address.port, self._tls() if self._tls else None)
        except OSError as error:
            if error.args and isinstance(error.args[0], int) and error.args[0] < 0:
                raise CommandError(f"error during connect: lookup {address.host}: no such host") from None
            if "SSL" in type(error).__name__:
                raise CommandError(f"error during connect: {error}") from None
            raise Unreachable(address.url) from None

    def open(
        self,
        method: str,
        path: str,
        parameters: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        fresh: bool = False,
    ) -> http.Response:
        """Send a request; an answer that is an error is raised. `body`: None, bytes, chunks, or a JSON value.

        The idle connection is used again unless `fresh`; where it died meanwhile, the request is repeated.
        """
        target = path + http.query(parameters or {})
        headers = {**self.headers, **(headers or {})}
        payload: bytes | Iterable[bytes] | None = body
        if isinstance(body, (dict, list)):
            payload = jsontext.dumps(body).encode("utf-8", "surrogateescape")
            headers.setdefault("Content-Type", "application/json")
        idle = None if fresh else self._idle
        if idle is not None and idle.reusable:
            self._idle = None
            try:
                return self._checked(idle, idle.request(method, target, payload, headers))
            except (OSError, CommandError) as error:
                if isinstance(error, Refused) or not (payload is None or isinstance(payload, bytes)):
                    raise
                idle.close()
        connection = self.connect()
        try:
            return self._checked(connection, connection.request(method, target, payload, headers))
        except (ConnectionError, TimeoutError):
            raise Unreachable(self.address.url) from None

    def _checked(self, connection: http.Connection, response: http.Response) -> http.Response:
        response.connection = connection  # type: ignore[attr-defined]
        if response.status >= 400:
            raise Refused(response.status, _reason(response))
        return response

    def call(
        self,
        method: str,
        path: str,
        parameters: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """A request whose answer is one JSON document (None where it is empty)."""
        response = self.open(method, path, parameters, body, headers)
        data = response.read()
        self.keep(response)
        return jsontext.loads(data) if data.strip() else None

    def get_together(self, targets: list[str]) -> list[Any]:
        """GET all at the same time, each on its own connection; an answer that is an error is None."""
        connections = [self.connect() for _ in targets]
        found: list[Any] = []
        try:
            for connection, target in zip(connections, targets, strict=True):
                connection.begin(target)
            for connection in connections:
                response = connection.finish()
                data = response.read()
                found.append(jsontext.loads(data) if response.status < 400 and data.strip() else None)
        finally:
            for connection in connections:
                connection.close()
        return found

    def get(self, path: str, **parameters: Any) -> Any:
        return self.call("GET", path, parameters)

    def get_text(self, path: str, **parameters: Any) -> str:
        """The raw text of a JSON answer, for those who show it as the engine wrote it."""
        response = self.open("GET", path, parameters)
        text = response.read().decode("utf-8", "replace")
        self.keep(response)
        return text

    def post(self, path: str, body: Any = None, **parameters: Any) -> Any:
        return self.call("POST", path, parameters, body)

    def delete(self, path: str, **parameters: Any) -> Any:
        return self.call("DELETE", path, parameters)

    def keep(self, response: http.Response) -> None:
        """Keep the connection of an answer that was read to its end."""
        connection: http.Connection = response.connection  # type: ignore[attr-defined]
        if response.done and connection.reusable:
            self._idle = connection
        else:
            connection.close()

    def messages(self, response: http.Response) -> Iterator[Any]:
        """The JSON documents of a streaming answer, one a line or run together."""
        for line in response.lines():
            if not line.strip():
                continue
            try:
                yield jsontext.loads(line)
            except ValueError:
                yield from jsontext.loads(b"[" + line.replace(b"}{", b"},{") + b"]")

    def hijack(
        self, path: str, parameters: dict[str, Any] | None = None, body: Any = None
    ) -> tuple[Any, bytes, str]:
        """POST with an upgrade to a raw stream: (socket, bytes that came early, content type)."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        response = self.open("POST", path, parameters, body, headers, fresh=True)
        connection: http.Connection = response.connection  # type: ignore[attr-defined]
        sock, early = connection.take()
        return sock, early, response.headers.get("content-type", "")


def filters(given: list[str]) -> str | None:
    """`name=value` words as the API's JSON; None without any."""
    if not given:
        return None
    found: dict[str, dict[str, bool]] = {}
    for word in given:
        name, _, value = word.partition("=")
        found.setdefault(name.strip().lower(), {})[value.strip()] = True
    return jsontext.dumps(found)


def _reason(response: http.Response) -> str:
    data = response.read()
    text = data.decode("utf-8", "replace").strip()
    if "json" in response.headers.get("content-type", ""):
        try:
            document = jsontext.loads(text)
        except ValueError:
            return text
        if isinstance(document, dict) and document.get("message"):
            return str(document["message"]).strip()
    return text or f"request returned {response.status} and no message"

"""The target of requests: any bytes on a connection, through HTTP, routing, and the handlers' own reading of
path, query, headers and body, with an engine behind them in which nothing is found.

So no verb runs. What a handler raises must be one of the engine's kinds of errors; the connection must end,
and its descriptors with it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from onggi.errors import NotFound, OnggiError
from onggi.server import connection as connections
from onggi.server import errors
from onggi.server.connection import Connection
from onggi.server.crowd import Crowd
from onggi.server.messages import Request, Response, Stream
from onggi.server.operations import TABLE
from onggi.server.router import Router
from tests.fuzz.feed import Feed, json_bytes

_WORDS = """
filters all limit size since until tail follow stdout stderr timestamps details signal t condition h w
name platform repo tag fromImage fromSrc changes message path noOverwriteDirNonDir copyUIDGID force v
link stream one-shot detachKeys ps_args remote buildargs labels ulimits extrahosts cachefrom dockerfile
memory type verbose digests shared-size manifests names quiet reserved-space reference noprune buildid
version target networkmode scope dangling dry-run logs stdin quick step
"""
WORDS = tuple(_WORDS.split())
TEXTS = (
    "1",
    "0",
    "true",
    "x",
    "",
    "-1",
    "1.5",
    "2026-01-01T00:00:00Z",
    "99999999999999999999",
    "9" * 5000,
    "9" * 400 + "h",
    '{"until":["' + "9" * 400 + 'h"],"name":["(a+)+$"]}',
    '{"dangling":["true"],"exited":["' + "9" * 5000 + '"]}',
    "{",
    "[]",
    "null",
    '{"label":["a=b"]}',
    '{"a":{"b":true}}',
    '{"a":[1]}',
    "linux/arm64",
    "a:b",
    "a@sha256:0",
    "/etc/passwd",
    "%00",
    "ctrl-p,ctrl-q",
    "running",
    "\ud800",
    "é",
)
BODIES: tuple[dict[str, Any], ...] = (
    {
        "Image": "a",
        "Cmd": ["x"],
        "Env": ["A=b"],
        "Entrypoint": "sh",
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1},
        "StopTimeout": 3,
        "Volumes": {"/v": {}},
        "HostConfig": {
            "Binds": ["a:/b:ro"],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "1-5"}]},
            "Memory": 5,
            "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
            "Tmpfs": {"/t": "size=1m"},
            "Mounts": [{"Type": "volume", "Source": "v", "Target": "/m", "VolumeOptions": {"Subpath": "x"}}],
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
            "LogConfig": {"Type": "json-file", "Config": {}},
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/x", "CgroupPermissions": "r"}],
            "Sysctls": {"a": "b"},
            "NanoCpus": 5,
            "ExtraHosts": ["a:1.2.3.4"],
            "SecurityOpt": ["seccomp=unconfined"],
        },
        "NetworkingConfig": {
            "EndpointsConfig": {"n": {"IPAMConfig": {"IPv4Address": "1.2.3.4"}, "Aliases": ["a"]}}
        },
    },
    {
        "Name": "n",
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": "10.0.0.0/8", "Gateway": "10.0.0.1"}]},
        "Options": {},
    },
    {"Name": "v", "Driver": "local", "DriverOpts": {"type": "tmpfs"}, "Labels": {}},
    {
        "AttachStdout": True,
        "Cmd": ["x"],
        "Tty": False,
        "Env": ["A=b"],
        "ConsoleSize": [1, 2],
        "DetachKeys": "ctrl-a",
    },
    {"Detach": False, "Tty": True},
    {"Container": "c", "EndpointConfig": {"Aliases": ["a"]}, "Force": True},
    {"username": "u", "password": "p", "serveraddress": "s"},
    {"a": "YQ=="},
)


class Nothing:
    """An engine of which nothing is ever found."""

    def __getattr__(self, name: str) -> Any:
        raise NotFound(f"no {name} here")


class Wire(asyncio.Transport):
    """A transport over one end of a socket pair, that keeps what is written."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        self.written = bytearray()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.sock.fileno() < 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def close(self) -> None:
        self.sock.close()

    abort = close


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


ROUTER = Router(TABLE)
for _, _, handler in TABLE:
    ROUTER.resolve(handler)  # now, so that they are instrumented


def requests(data: bytes) -> None:
    """One connection: raw bytes, or requests that are made of the table and of what its handlers read."""
    feed = Feed(data)
    raw = feed.byte() % 3 == 0
    pieces = [feed.rest()] if raw else [_request(feed) for _ in range(1 + feed.byte() % 3)]
    log, lingering = logging.getLogger("onggi.server"), connections.LINGER_SECONDS
    connections.LINGER_SECONDS, log.disabled = 0.0, True
    try:
        _loop().run_until_complete(asyncio.wait_for(_exchange(pieces, ended=bool(len(data) % 2)), 20))
    finally:
        connections.LINGER_SECONDS, log.disabled = lingering, False


async def _exchange(pieces: list[bytes], *, ended: bool) -> None:
    faults: list[Exception] = []

    async def answer(request: Request) -> Response | Stream | None:
        try:
            return await ROUTER.find(request)(request)
        except Exception as error:
            if not isinstance(error, OnggiError):
                faults.append(error)
            return errors.response_of(error, "it") if isinstance(error, OnggiError) else Response(500)

    ours, theirs = socket.socketpair()
    wire = Wire(ours)
    open_: set[Connection] = set()
    connection = Connection(answer, Nothing(), open_, Crowd())
    with theirs, ours:
        connection.connection_made(wire)
        for piece in pieces:
            connection.data_received(piece)
            if len(piece) % 3 == 0:
                await asyncio.sleep(0)
        if ended:
            connection.eof_received()
        await asyncio.sleep(0)
        connection.connection_lost(None)
        await connection.closed()
    if faults:
        raise faults[0]
    assert not open_
    assert not connection._task.cancelled() and connection._task.exception() is None
    assert not wire.written or wire.written.startswith(b"HTTP/1.1 ")


def _request(feed: Feed) -> bytes:
    method, pattern, _ = feed.one(TABLE)
    path = pattern
    for name in ("id", "name", "checkpoint"):
        path = path.replace(f"{{{name}}}", quote(feed.text().encode("utf-8", "replace") or b"x", safe="/:@"))
    if feed.byte() % 3 == 0:
        path = f"/v{feed.one(('1.24', '1.41', '1.55', '1.56', '1', '99999999999', '1.2.3', '..'))}{path}"
    query = [
        (feed.one(WORDS), feed.one(TEXTS) if feed.byte() % 3 else feed.text()) for _ in range(feed.byte() % 4)
    ]
    target = path + ("?" + urlencode(query, errors="replace") if query else "")
    kind = feed.byte() % 6
    body = (
        b""
        if kind == 0
        else feed.bytes(feed.byte())
        if kind == 1
        else json_bytes(feed.mutated(feed.one(BODIES)))
    )
    head = [f"{method} {target} HTTP/1.1", "Host: x"]
    if feed.byte() % 8:
        head.append("Content-Type: application/json")
    if feed.byte() % 8 == 0:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        head.append("Transfer-Encoding: chunked")
    elif body or method == "POST":
        head.append(f"Content-Length: {len(body)}")
    if feed.byte() % 6 == 0:
        head += ["Connection: Upgrade", f"Upgrade: {feed.one(('tcp', 'websocket', 'h2c', 'x'))}"]
        head += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    if feed.byte() % 6 == 0:
        name = feed.one(("X-Registry-Auth", "X-Registry-Config", "Expect", "Connection"))
        head.append(f"{name}: {feed.one(HEADERS)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body


HEADERS = ("100-continue", "close", "e30=", "bnVsbA==", "W10=", "x", "", "eyJhIjogMX0=", "é")

SEEDS = (
    b"\0GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\0POST /v1.41/containers/create?name=x HTTP/1.1\r\nContent-Length: 2\r\n"
    b"Content-Type: application/json\r\n\r\n{}",
    b"\0GET /events?filters=%7B%7D HTTP/1.0\r\n\r\n",
    b"\0POST /build?t=a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    *(bytes([1, 0, number, *range(40)]) for number in range(0, len(TABLE), 4)),
)

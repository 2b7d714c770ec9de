"""A server with a routing table of its own, on a real unix socket."""

from __future__ import annotations

import asyncio
import socket
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from onggi.engine import streams
from onggi.engine.offload import Offload
from onggi.errors import Conflict, NotModified
from onggi.server.messages import Hijacked, Request, Response, Stream
from onggi.server.server import Server
from onggi.wire.volumes import VolumeCreateRequest

TABLE = (
    ("GET", "/_ping", "probe:ping"),
    ("HEAD", "/_ping", "probe:ping"),
    ("POST", "/json", "probe:json_"),
    ("POST", "/count", "probe:count"),
    ("POST", "/ignore", "probe:ignore"),
    ("GET", "/forever", "probe:forever"),
    ("POST", "/both", "probe:both"),
    ("POST", "/receive", "probe:receive"),
    ("GET", "/flood", "probe:flood"),
    ("GET", "/conflict", "probe:conflict"),
    ("GET", "/same", "probe:same"),
    ("GET", "/bug", "probe:bug"),
    ("POST", "/hijack", "probe:hijack"),
    ("GET", "/images/{name}/json", "probe:echo"),
    ("GET", "/query", "probe:query"),
)


class Probe(types.ModuleType):
    """Handlers that show what arrived; `ended` counts streams that were closed, `held` what was hijacked."""

    def __init__(self) -> None:
        super().__init__("onggi.server.api.probe")
        self.ended = 0
        self.begun = 0
        self.held: list[Hijacked] = []

    async def ping(self, request: Request) -> Response:
        return Response(body=b"" if request.method == "HEAD" else b"OK", content_type="text/plain")

    async def json_(self, request: Request) -> Response:
        asked = await request.json(VolumeCreateRequest)
        return Response(201, asked.name.encode())

    async def count(self, request: Request) -> Response:
        size = 0
        async for piece in request.stream():
            size += len(piece)
        return Response(body=str(size).encode())

    async def ignore(self, request: Request) -> Response:
        return Response(body=b"ignored")

    async def forever(self, request: Request) -> Stream:
        return Stream(self._forever())

    async def _forever(self) -> AsyncIterator[bytes]:
        self.begun += 1
        try:
            yield b"first\n"
            await asyncio.Event().wait()
        finally:
            self.ended += 1

    async def flood(self, request: Request) -> Stream:
        return Stream(self._flood())

    async def _flood(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.begun += 1
                yield b"x" * 65536
                await asyncio.sleep(0)
        finally:
            self.ended += 1

    async def both(self, request: Request) -> Stream:
        return Stream(self._both(request.stream()), reads=True)

    async def _both(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Reads the body while the answer is written."""

        async def count() -> int:
            return sum([len(piece) async for piece in body])

        counting = asyncio.create_task(count())
        yield b"begun\n"
        yield bytes(8 << 20)
        yield str(await counting).encode()

    async def receive(self, request: Request) -> Response:
        """In a thread that nothing else ends, as a build receives its context."""
        offload = Offload(1)
        try:
            self.begun += 1
            await offload(streams.body_reader(request.stream()).read)
            return Response()
        finally:
            self.ended += 1
            offload.close()

    async def conflict(self, request: Request) -> Response:
        raise Conflict("the name is taken")

    async def same(self, request: Request) -> Response:
        raise NotModified

    async def bug(self, request: Request) -> Response:
        raise KeyError("secret")

    async def hijack(self, request: Request) -> None:
        await request.document()
        self.held.append(await request.hijack(tty=request.flag("tty"))())

    async def echo(self, request: Request) -> Response:
        return Response(body=request.params["name"].encode())

    async def query(self, request: Request) -> Response:
        return Response(body=f"{request.flag('f')} {request.number('n')}".encode())


@pytest.fixture
async def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimpleNamespace]:
    """`path` of the socket, `module` of the handlers, the `server`."""
    module = Probe()
    monkeypatch.setitem(sys.modules, "onggi.server.api.probe", module)
    path = str(tmp_path / "s")
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    sock.bind(path)
    async with Server(SimpleNamespace(access=None, audit=None), TABLE) as server:
        await server.listen(sock)
        yield SimpleNamespace(path=path, module=module, server=server)

"""A client of BuildKit's protocol, of our own: definitions of LLB, and what buildx does not ask for."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.client import UnaryUnaryMethod

from onggi.builder.buildkit.connection import Called, serve
from onggi.builder.buildkit.messages import kind
from tests import engines


def upgraded(engine: engines.Engine, path: str, headers: str = "") -> tuple[socket.socket, bytes]:
    """A connection after its change to HTTP/2, and the bytes that came early."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(engine.socket))
    sock.sendall(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{headers}\r\n".encode()
    )
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := sock.recv(1)):
            raise ConnectionResetError("the engine went away before its answer")
        data += part
    assert data.startswith(b"HTTP/1.1 101"), data
    sock.setblocking(False)
    return sock, b""


class Client:
    """Definitions are made of operations that name each other by digest."""

    def __init__(self) -> None:
        self.ops: list[bytes] = []

    def add(self, *inputs: Any, **op: Any) -> Any:
        data = kind("Op")(inputs=list(inputs), **op).SerializeToString()
        self.ops.append(data)
        return kind("Input")(digest="sha256:" + hashlib.sha256(data).hexdigest(), index=0)

    def image(self, name: str) -> Any:
        return self.add(source=kind("SourceOp")(identifier=f"docker-image://docker.io/library/{name}"))

    def run(self, command: str, root: Any, *mounts: Any, inputs: tuple[Any, ...] = ()) -> Any:
        mount = kind("Mount")(input=0, dest="/", output=0)
        meta = kind("ExecMeta")(args=["/bin/sh", "-c", command], cwd="/")
        return self.add(root, *inputs, exec=kind("ExecOp")(meta=meta, mounts=[mount, *mounts]))

    def definition(self, result: Any) -> Any:
        return kind("Definition")(**{"def": [*self.ops, kind("Op")(inputs=[result]).SerializeToString()]})


def with_client(engine: engines.Engine, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def all_of_it() -> Any:
        serving = asyncio.create_task(
            serve((), *upgraded(engine, "/session", "X-Docker-Expose-Session-Uuid: s1\r\n"))
        )
        channel = Called(*upgraded(engine, "/grpc"))
        try:
            return await work(channel)
        finally:
            channel.close()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    return asyncio.run(all_of_it())


def solve(engine: engines.Engine, definition: Any, name: str = "llb") -> dict[str, str]:
    """Control.Solve of a definition, into the store."""
    request = kind("SolveRequest")(
        Ref=os.urandom(8).hex(), Session="s1", Definition=definition,
        Exporters=[kind("Exporter")(Type="image", Attrs={"name": name})],
    )  # fmt: skip

    async def work(channel: Any) -> Any:
        method = UnaryUnaryMethod(
            channel, "/moby.buildkit.v1.Control/Solve", kind("SolveRequest"), kind("SolveResponse")
        )
        return dict((await method(request)).ExporterResponse)

    found: dict[str, str] = with_client(engine, work)
    return found

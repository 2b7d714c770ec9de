"""A real engine on directories of its own, with a busybox image; nothing of it is left behind."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from onggi.engine.config import EngineConfig
from onggi.engine.containers import create, remove, start, wait
from onggi.engine.engine import Engine
from onggi.engine.reconcile import open_engine
from onggi.images.import_ import import_
from onggi.wire.containers import ContainerCreateRequest, HostConfig

BUSYBOX = "/bin/busybox"
APPLETS = [
    "sh",
    "sleep",
    "cat",
    "echo",
    "id",
    "env",
    "ls",
    "true",
    "false",
    "hostname",
    "kill",
    "stat",
    "mount",
    "touch",
    "test",
    "dd",
    "head",
    "wc",
    "grep",
    "trap",
]


def busybox_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "etc", "data", "tmp", "proc", "sys", "dev", "root"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            if name == "data":
                directory.uid = 1000
            tar.addfile(directory)
        tar.add(BUSYBOX, "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, text in (
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n"),
            ("etc/group", "root:x:0:\nana:x:1000:\naudio:x:29:ana\n"),
            ("data/seed", "seed\n"),
        ):
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(text), 0o640 if name == "data/seed" else 0o644
            file.uid = 1000 if name == "data/seed" else 0
            tar.addfile(file, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Bench:
    """One engine with short words for what tests do."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def create(
        self, *command: str, name: str = "", host: HostConfig | None = None, **config: Any
    ) -> str:
        request = ContainerCreateRequest(
            image="busybox", cmd=list(command), host_config=host or none_network(), **config
        )
        return (await create.create(self.engine, request, name)).id

    async def start(self, *command: str, **rest: Any) -> str:
        container_id = await self.create(*command, **rest)
        await start.start(self.engine, container_id)
        return container_id

    async def run(self, *command: str, **rest: Any) -> tuple[int, str]:
        """Exit code and what was written to either stream."""
        container_id = await self.create(*command, **rest)
        ended = await wait.wait(self.engine, container_id, "next-exit")
        await start.start(self.engine, container_id)
        code = (await ended).status_code
        output = self.log(container_id)
        await remove.remove(self.engine, container_id, volumes=True)
        return code, output

    def log(self, container_id: str) -> str:
        import json

        with open(self.engine.paths.log(container_id)) as file:
            return "".join(json.loads(line)["log"] for line in file)

    def record(self, name: str):  # type: ignore[no-untyped-def]
        return self.engine.containers.get(name).record


def none_network(**fields: Any) -> HostConfig:
    fields.setdefault("network_mode", "none")
    return HostConfig(**fields)


def hijacked() -> tuple[Callable[[], Coroutine[Any, Any, Any]], socket.socket]:
    """What the server hands to attach, and the client's end of it."""
    from onggi.server.messages import Hijacked

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours.setblocking(False)

    async def take() -> Hijacked:
        return Hijacked(theirs, b"")

    return take, ours


@pytest.fixture
def directory():  # type: ignore[no-untyped-def]
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tempfile.mkdtemp(prefix="og", dir="/tmp")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def config(directory: str) -> EngineConfig:
    return EngineConfig(root=f"{directory}/root", exec_root=f"{directory}/run")


@pytest.fixture
async def bench(config: EngineConfig) -> AsyncIterator[Bench]:
    engine = await open_engine(config)
    try:
        import_(engine.images, [busybox_tar()], name="docker.io/library/busybox:latest")
        yield Bench(engine)
    finally:
        for container in engine.containers.all():
            await remove.remove(engine, container.id, force=True, volumes=True)
        await engine.close()
        # The default bridge outlives its engine on purpose; a test's engine has no next one.
        for command in (
            ["ip", "link", "delete", engine.networks.bridge_name],
            ["nft", "delete", "table", "inet", engine.networks.table_name],
        ):
            subprocess.run(command, check=False, capture_output=True)

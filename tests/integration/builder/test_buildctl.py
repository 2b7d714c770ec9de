"""buildctl through `buildx dial-stdio`: Control over a stream, the session inside a call; what is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpclib.client import UnaryUnaryMethod
from grpclib.exceptions import GRPCError

from onggi.builder.buildkit.messages import kind
from tests import engines
from tests.buildx import BUILDX, buildx
from tests.llb import with_client

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
BUILDCTL = BUILDX.parents[1] / "buildctl-v0.22.0/buildctl"
Run = Callable[..., str]


def _dialled(connection: socket.socket, env: dict[str, str]) -> None:
    with connection:
        subprocess.run([str(BUILDX), "dial-stdio"], stdin=connection, stdout=connection, env=env, check=False)


@pytest.fixture
def buildctl(engine: engines.Engine, context: Path, tmp_path: Path) -> Iterator[Run]:
    if not BUILDCTL.exists():
        pytest.skip(f"{BUILDCTL} is missing: run scripts/go-client buildctl")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": engine.host}
    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=_dialled, args=(connection, env)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()

        def run(*args: str, fails: bool = False) -> str:
            command = [str(BUILDCTL), "--addr", f"unix://{tmp_path}/s", *args]
            done = subprocess.run(command, cwd=context, capture_output=True, text=True, timeout=60)
            assert (done.returncode != 0) == fails, done.stdout + done.stderr
            return done.stdout + done.stderr

        try:
            yield run
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(10)


def test_builds_and_their_history(buildctl: Run, engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nCOPY f /f\n")
    (context / "f").write_text("content")
    local = ("--local", "context=.", "--local", "dockerfile=.")
    output = ("--output", "type=image,name=docker.io/library/byctl:1")
    buildctl("build", "--frontend", "dockerfile.v0", *local, *output)
    assert engine.onggi("run", "--rm", "byctl:1", "cat", "/f") == "content"
    gateway = ("build", "--frontend", "gateway.v0", *local)
    buildctl(*gateway, "--opt", "source=docker/dockerfile:1", "--output", "type=local,dest=made")
    assert (context / "made/f").read_text() == "content"
    refused = buildctl(*gateway, "--opt", "source=other/frontend:1", fails=True)
    assert "syntax=other/frontend:1: this engine reads Dockerfiles itself" in refused
    assert "onggi v0.22.0+onggi-" in buildctl("debug", "workers", "-v")
    assert buildctl("debug", "histories").count("COMPLETE") >= 3
    assert "Total:" in buildctl("du")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/moby.buildkit.v1.frontend.LLBBridge/NewContainer", "NewContainer: containers of a client's own"),
        ("/moby.buildkit.v1.frontend.LLBBridge/ExecProcess", "ExecProcess: containers of a client's own"),
        ("/no.such.Service/Method", "Method: this engine does not know it"),
    ],
)
def test_unknown_methods_name_themselves(engine: engines.Engine, path: str, said: str) -> None:
    async def work(channel: object) -> None:
        method = UnaryUnaryMethod(channel, path, kind("Empty"), kind("Empty"))  # type: ignore[arg-type]
        with pytest.raises(GRPCError) as caught:
            await method(kind("Empty")())
        assert said in str(caught.value.message)

    with_client(engine, work)


def test_debug_says_what_it_cannot_have(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN true\n")
    said = buildx(
        engine, context, "debug", "--invoke", "sh", "build", ".", fails=True, BUILDX_EXPERIMENTAL="1"
    )
    assert "buildx debug and --invoke do not work on this engine" in said

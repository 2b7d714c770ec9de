"""Thousands of connections that say nothing: others are served, and what the engine needs is left to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.server.crowd import OWN_DESCRIPTORS, Crowd
from onggi.server.messages import Request, Response
from onggi.server.server import ACCEPTS, Server
from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = pytest.mark.root
LIMIT = 1024
GUESTS = (LIMIT - OWN_DESCRIPTORS) // 2


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Engine]:
    """An engine that may have 1024 descriptors and no more."""
    with engines.onggi(tmp_path) as engine:
        engine.stop()
        engine.command = ["prlimit", f"--nofile={LIMIT}:{LIMIT}", *engine.command]
        engine.start()
        engines.import_busybox(engine)
        yield engine


def _connected(engine: Engine) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(engine.socket)  # waits while the queue is full
    sock.settimeout(60)
    return sock


def _descriptors(engine: Engine) -> int:
    assert engine.process is not None
    return len(os.listdir(f"/proc/{engine.process.pid}/fd"))


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """For this process, which opens the connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("said", [b"", b"GET /_pi", b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"], ids=len)
def test_those_who_say_nothing_push_out_each_other(crowded: Engine, said: bytes) -> None:
    before = _descriptors(crowded)
    with contextlib.ExitStack() as stack:
        for _ in range(3000):
            stack.enter_context(_connected(crowded)).sendall(said)
        assert crowded.request("GET", "/_ping")[0] == 200
        assert _descriptors(crowded) <= GUESTS + ACCEPTS + before + 30
        crowded.docker("run", "--rm", "--network", "none", BUSYBOX, "true")
    engines.until(lambda: _descriptors(crowded) <= before + 5)
    assert "Too many open files" not in crowded.log


@pytest.mark.usefixtures("many_descriptors")
def test_those_who_are_served_stay_and_one_more_is_told_why(crowded: Engine) -> None:
    with contextlib.ExitStack() as stack:
        followers = [stack.enter_context(_connected(crowded)) for _ in range(GUESTS)]
        for follower in followers:
            follower.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert follower.recv(4096).startswith(b"HTTP/1.1 200 ")
        status, body = crowded.request("GET", "/_ping")
        assert (status, json.loads(body)) == (503, {"message": "too many connections to the engine"})
        followers.pop().close()
        engines.until(lambda: crowded.request("GET", "/_ping")[0] == 200)
        crowded.api("POST", "/volumes/create", {"Name": "told"})
        assert all(b'"told"' in follower.recv(4096) for follower in followers)


def test_containers_get_the_limit_that_the_daemon_was_given(tmp_path: Path) -> None:
    """The daemon raises its own."""
    with engines.onggi(tmp_path) as engine:
        engine.stop()
        engine.command = ["prlimit", "--nofile=777:5000", *engine.command]
        engine.start()
        engines.import_busybox(engine)
        assert engine.process is not None
        assert resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE) == (5000, 5000)
        run = ("run", "--rm", "--network", "none", BUSYBOX, "sh", "-c", "ulimit -Sn; ulimit -Hn")
        assert engine.docker(*run).split() == ["777", "5000"]


def _certificate(tmp_path: Path) -> ssl.SSLContext:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    paths = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    subprocess.run(["openssl", *words, *paths], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_tls_that_is_not_agreed_on_goes_first(tmp_path: Path) -> None:
    """Whoever cannot show a certificate holds no place of those who can."""
    server = Server(None, ())
    server._crowd = Crowd(most=10)

    async def answer(request: Request) -> Response:
        return Response(body=b"{}")

    server.answer = answer  # type: ignore[method-assign]
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    async with server:
        await server.listen(sock, _certificate(tmp_path))
        silent = [await asyncio.open_connection(*address) for _ in range(20)]
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*address, ssl=client)
            writer.write(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        assert await silent[0][0].read() == b""
        for _, out in silent:
            out.close()

"""Published ports of SCTP. Few kernels of containers have it: scripts/test-v2 boots one that does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, wires
from tests.engines import BUSYBOX, SLOW, Engine
from tests.wires import HOST, Wire, elsewhere, inside, within

pytestmark = pytest.mark.root
SCTP = 132  # IPPROTO_SCTP


@pytest.fixture
def wire() -> Iterator[Wire]:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError as error:
        pytest.skip(f"needs a kernel with SCTP: {error}")
    found = Wire()
    yield found
    found.close()


@pytest.fixture(params=["nat", "host-firewall"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, wire: Wire) -> Iterator[Engine]:
    found = wires.engine_on(wire, tmp_path, f"--publish-policy={request.param}")
    with engines.running(found):
        yield found


def ask(wire: Wire, port: int) -> bytes:
    """The echo of one message, as the client on the wire gets it; empty where nobody answers."""

    def work() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP) as peer:
            peer.settimeout(3 * SLOW)
            try:
                peer.connect((HOST, port))
                peer.sendall(b"a message")
                return peer.recv(100)
            except OSError:
                return b""

    return elsewhere(wire.holders[1].pid, work)


def test_an_sctp_port_is_published_and_freed(engine: Engine, wire: Wire) -> None:
    engine.docker("run", "-d", "--name", "web", "-p", "3868:3868/sctp", BUSYBOX, "sleep", "1000")
    pid = engine.api("GET", "/containers/web/json")["State"]["Pid"]
    listener: list[socket.socket] = []
    ready = threading.Event()

    def serve() -> None:
        with inside(pid):
            listener.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP))
        listener[0].bind(("0.0.0.0", 3868))
        listener[0].listen()
        ready.set()
        while True:
            peer, _ = listener[0].accept()
            data = b""
            with peer, contextlib.suppress(OSError):  # a client that lost its patience
                data = peer.recv(100)
                peer.sendall(data)
            if data == b"end":
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10)
    within(20, lambda: ask(wire, 3868) == b"a message")
    assert engine.docker("port", "web", "3868/sctp").splitlines() == ["0.0.0.0:3868", "[::]:3868"]
    engine.docker("rm", "-f", "web")
    assert ask(wire, 3868) == b""
    engine.docker("run", "-d", "--name", "again", "-p", "3868:3868/sctp", BUSYBOX, "sleep", "1000")

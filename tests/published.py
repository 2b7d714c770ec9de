"""What the tests of published ports share: a server to publish, who may bind a port, a kill in the midst."""

from __future__ import annotations

import socket

from tests.engines import BUSYBOX, Engine
from tests.wires import HOST, Wire, elsewhere, within

SERVE = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"


def serve(engine: Engine, *flags: str, name: str = "web") -> None:
    engine.docker("run", "-d", "--name", name, *flags, BUSYBOX, "sh", "-c", SERVE)


def free(wire: Wire, port: int, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> bool:
    """Can another program of the host bind the port?"""

    def work() -> bool:
        with socket.socket(family, kind) as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                mine.bind(("", port))
                if kind == socket.SOCK_STREAM:
                    mine.listen()
            except OSError:
                return False
            return True

    return elsewhere(wire.host_pid, work)


def ask_udp(wire: Wire, address: str, port: int) -> bytes:
    """The answer, if it comes from the address that was asked: the socket is connected."""

    def work() -> bytes:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as mine:
            mine.settimeout(0.5)
            mine.connect((address, port))
            try:
                mine.send(b"ping")
                return mine.recv(100)
            except OSError:
                return b""

    return elsewhere(wire.holders[1].pid, work)


def killed_in_mid_publishing(engine: Engine, wire: Wire, point: str) -> None:
    """The engine dies at a failpoint: ports of running containers go on, the one that was cut off is free."""
    serve(engine, "-p", "8080:80", name="stays")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    engine.docker("create", "--name", "web", "-p", "8081:80", BUSYBOX, "sh", "-c", SERVE)
    if point == "network.shut":
        engine.docker("start", "web")
    engine.stop()
    engine.start(failpoint=f"{point}=kill")
    verb = ["rm", "-f"] if point == "network.shut" else ["start"]
    engine.run("docker", *verb, "web", check=False)
    assert engine.process is not None
    engine.process.wait(60)
    engine.kill()
    assert wire.fetch(HOST, 8080) == "hello"
    engine.start()
    within(5, lambda: free(wire, 8081))
    assert wire.fetch(HOST, 8080) == "hello"
    engine.run("docker", "rm", "-f", "web", check=False)
    serve(engine, "-p", "8081:80", name="next")
    within(5, lambda: wire.fetch(HOST, 8081) == "hello")

"""Hosts as network namespaces: one for an engine, one for a client, a veth pair between them.

client 198.51.100.2 wire1 --- wire0 198.51.100.1 host (engine, containers)
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from onggi.network.sandbox import Entered
from tests import engines
from tests.engines import SLOW, Engine

T = TypeVar("T")
HOST, CLIENT = "198.51.100.1", "198.51.100.2"


class Wire:
    """Two network namespaces and a veth pair between them; a process holds each."""

    def __init__(self) -> None:
        self.holders = [
            subprocess.Popen(["unshare", "-n", "sleep", "infinity"], start_new_session=True) for _ in range(2)
        ]
        own = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 30 * SLOW
        for holder in self.holders:
            while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
                assert time.monotonic() < deadline
                time.sleep(0.005)
        host, client = (str(holder.pid) for holder in self.holders)
        self.on_host("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns", client)
        for prefix, name, address in ((host, "wire0", HOST), (client, "wire1", CLIENT)):
            enter = ["nsenter", "-t", prefix, "-n"]
            subprocess.run([*enter, "ip", "addr", "add", f"{address}/24", "dev", name], check=True)
            subprocess.run([*enter, "ip", "link", "set", name, "up"], check=True)
            subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)

    @property
    def host_pid(self) -> int:
        return self.holders[0].pid

    def on_host(self, *command: str) -> str:
        done = subprocess.run(
            ["nsenter", "-t", str(self.host_pid), "-n", *command], capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def fetch(self, address: str, port: int, *, at: int = 1, timeout: float = 5) -> str:
        """A page as the client (1) or the host (0) gets it; empty where it is not reached."""

        def work() -> str:
            try:
                with socket.create_connection((address, port), timeout=timeout * SLOW) as peer:
                    peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    return b"".join(iter(lambda: peer.recv(4096), b"")).decode().rpartition("\n\n")[2]
            except OSError:
                return ""

        return elsewhere(self.holders[at].pid, work).strip()[-5:]

    def close(self) -> None:
        for holder in self.holders:
            holder.kill()
            holder.wait()


@contextlib.contextmanager
def inside(pid: int) -> Iterator[None]:
    """The calling thread is in the network namespace of a process."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        with Entered(fd):
            yield
    finally:
        os.close(fd)


def elsewhere(pid: int, work: Callable[[], T]) -> T:
    """What `work` returns in a thread of its own, in the network namespace of a process."""
    found: list[T] = []

    def run() -> None:
        with inside(pid):
            found.append(work())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def within(seconds: float, holds: Callable[[], object]) -> None:
    """Wait for what holds after so many seconds on an idle machine; a busy one gets four times that."""
    deadline = time.monotonic() + 4 * seconds * SLOW
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def engine_on(wire: Wire, directory: Path, *flags: str, env: dict[str, str] | None = None) -> Engine:
    """An engine on the host of the wire, not started yet."""
    root, exec_root = directory / "onggi-root", directory / "onggi-run"
    command = ["nsenter", "-t", str(wire.host_pid), "-n", str(engines.ONGGI), "daemon"]
    command += ["--data-root", str(root), "--exec-root", str(exec_root)]
    command += ["-H", f"unix://{exec_root}/engine.sock", *flags]
    return Engine("onggi", root, exec_root, command, env or {})


@contextlib.contextmanager
def udp_echo(pid: int, port: int, answer: bytes = b"") -> Iterator[None]:
    """A server in the network namespace of a process: sends back what it gets, or `answer`."""
    ready = threading.Event()
    server: list[socket.socket] = []

    def work() -> None:
        with inside(pid):
            server.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            server[0].bind(("::", port))
            ready.set()
            while True:
                data, peer = server[0].recvfrom(65536)
                if data == b"end":
                    return
                server[0].sendto(answer or data, peer)

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        with inside(pid), socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", port))
        thread.join()
        server[0].close()

"""The name server under load and while the host changes: floods, resolv.conf, ends that nobody tells of."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dnslib import RR, A, DNSRecord

from tests import engines, wires
from tests.engines import BUSYBOX, Engine
from tests.wires import Wire, inside, within

pytestmark = pytest.mark.root
SERVERS = ("127.0.0.41", "127.0.0.42")
BIND = 'mount --make-rprivate /; mount --bind "$1" /etc/resolv.conf; shift; exec "$@"'


@pytest.fixture
def resolv_conf(tmp_path: Path) -> Path:
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver {SERVERS[0]}\n")
    return file


@pytest.fixture
def engine(tmp_path: Path, wire: Wire, resolv_conf: Path) -> Iterator[Engine]:
    """An engine whose host has a resolv.conf and name servers of the test's."""
    found = wires.engine_on(wire, tmp_path)
    at = found.command.index("-n") + 1
    found.command[at:at] = ["unshare", "-m", "sh", "-c", BIND, "sh", str(resolv_conf)]
    with engines.running(found):
        found.docker("network", "create", "names")
        for name in ("client", "other"):
            run(found, name)
        yield found


def run(engine: Engine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "--network", "names", BUSYBOX, "sleep", "1000")


def pid_of(engine: Engine, name: str) -> int:
    return int(engine.api("GET", f"/containers/{name}/json")["State"]["Pid"])


def asked(pid: int) -> socket.socket:
    """A socket of a container, connected to its name server."""
    with inside(pid):
        found = socket.socket(type=socket.SOCK_DGRAM)
    found.connect(("127.0.0.11", 53))
    found.settimeout(5)
    return found


def addresses(peer: socket.socket, name: str) -> list[str]:
    peer.send(bytes(DNSRecord.question(name).pack()))
    return [str(item.rdata) for item in DNSRecord.parse(peer.recv(4096)).rr]


@contextmanager
def name_server(wire: Wire, address: str, answer: str) -> Iterator[None]:
    """A name server of the host that knows one answer to everything."""
    with inside(wire.host_pid):
        listener = socket.socket(type=socket.SOCK_DGRAM)
        listener.bind((address, 53))

    def work() -> None:
        while True:
            data, peer = listener.recvfrom(4096)
            if not data:
                return
            reply = DNSRecord.parse(data).reply()
            reply.add_answer(RR(reply.q.qname, ttl=1, rdata=A(answer)))
            listener.sendto(bytes(reply.pack()), peer)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        with inside(wire.host_pid), socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"", (address, 53))
        thread.join()
        listener.close()


def resolver(engine: Engine) -> int:
    return engines.process_of(engine, "network.resolver.process")


def memory_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


def test_the_hosts_servers_are_followed_as_they_change(engine: Engine, wire: Wire, resolv_conf: Path) -> None:
    first, second = name_server(wire, SERVERS[0], "192.0.2.1"), name_server(wire, SERVERS[1], "192.0.2.2")
    with first, second, asked(pid_of(engine, "client")) as peer:
        assert addresses(peer, "example.org") == ["192.0.2.1"]
        resolv_conf.write_text(f"nameserver {SERVERS[1]}\n")
        assert addresses(peer, "example.org") == ["192.0.2.2"]
        engine.kill()
        resolv_conf.write_text(f"# moved while there was no engine\nnameserver {SERVERS[0]}\n")
        assert addresses(peer, "example.org") == ["192.0.2.1"]
        assert addresses(peer, "client")


def test_a_flood_is_bounded_and_others_are_answered(engine: Engine, wire: Wire) -> None:
    """Questions that nobody answers, as fast as one container can: memory stays, neighbours are served."""
    with asked(pid_of(engine, "client")) as peer:
        assert addresses(peer, "client")  # it has come up
    before = memory_mib(resolver(engine))
    stop = threading.Event()
    sent = [0]

    def flood() -> None:
        with asked(pid_of(engine, "client")) as peer:
            peer.setblocking(False)
            while not stop.is_set():
                sent[0] += 1
                question = DNSRecord.question(f"n{sent[0]}.example.org")
                try:
                    peer.send(bytes(question.pack()))
                except OSError:
                    time.sleep(0.0001)

    def hoard() -> None:
        """More connections than one container may have, which say nothing."""
        held = []
        with inside(pid_of(engine, "client")):
            for _ in range(200):
                held.append(socket.create_connection(("127.0.0.11", 53), timeout=30))
        stop.wait(20)
        for peer in held:
            peer.close()

    with inside(wire.host_pid):  # a server that is there and says nothing
        silent = socket.socket(type=socket.SOCK_DGRAM)
        silent.bind((SERVERS[0], 53))
    threads = [threading.Thread(target=work) for work in (flood, hoard)]
    for thread in threads:
        thread.start()
    try:
        with asked(pid_of(engine, "other")) as peer:
            taken = []
            while len(taken) < 200 or sent[0] <= 2000:  # the flood may have to wait for a processor
                start = time.monotonic()
                assert addresses(peer, "client")
                taken.append(time.monotonic() - start)
                time.sleep(0.005)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        silent.close()
    assert statistics.median(taken) < 0.5  # a machine may be slow; without the bound it is seconds
    assert memory_mib(resolver(engine)) - before < 32
    descriptors = len(os.listdir(f"/proc/{resolver(engine)}/fd"))
    assert descriptors < 400


def test_a_container_that_ends_is_forgotten_within_a_second_engine_or_not(engine: Engine) -> None:
    with asked(pid_of(engine, "client")) as peer:
        run(engine, "first")
        run(engine, "second")
        assert addresses(peer, "first")
        os.kill(pid_of(engine, "first"), signal.SIGKILL)
        within(1, lambda: addresses(peer, "first") == [])
        second = pid_of(engine, "second")
        engine.kill()
        assert addresses(peer, "second")
        os.kill(second, signal.SIGKILL)
        within(1, lambda: addresses(peer, "second") == [])


HOSTILE = (
    b"",
    b"\0",
    bytes(12),
    b"\xff" * 512,
    struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
    struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\x3f" + b"a" * 63 + b"\0\0\1\0\1",
    struct.pack("!6H", 7, 0x0100, 65535, 0, 0, 0) + b"\1a\0\0\1\0\1",
    struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 8 + b"\0\0\1\0\1",
    struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\4a.\0b\0\0\1\0\1",
    struct.pack("!6H", 7, 0x8180, 1, 0, 0, 0) + b"\6client\0\0\1\0\1",  # an answer: loops start so
)


def test_hostile_packets_do_no_harm(engine: Engine) -> None:
    pid = resolver(engine)
    with asked(pid_of(engine, "client")) as peer:
        for packet in HOSTILE:
            for _ in range(20):
                peer.send(packet)
            within(2, lambda: answered(peer, "other"))
    assert resolver(engine) == pid


def answered(peer: socket.socket, name: str) -> bool:
    """Answers to what was sent before come, too."""
    try:
        return bool(addresses(peer, name))
    except OSError:
        return False


def test_an_answer_takes_less_than_a_millisecond(engine: Engine) -> None:
    with asked(pid_of(engine, "client")) as peer:
        taken = []
        for _ in range(300):
            start = time.monotonic()
            assert addresses(peer, "other")
            taken.append(time.monotonic() - start)
    assert min(taken) < 0.001  # the median is in docs/benchmarks.md: others use this machine, too

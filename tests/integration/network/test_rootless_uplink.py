"""The way out of a user's engine: pasta or slirp4netns, names of the host's loopback, what stays closed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import engines, rootless, rootless_hosts
from tests.engines import BUSYBOX, Engine
from tests.rootless_hosts import CLIENT6, HOST6
from tests.wires import CLIENT, HOST, Wire, elsewhere, inside, within

pytestmark = pytest.mark.root
DRIVERS = ("pasta", "slirp4netns")
OUTSIDE = b"onggi.network.rootless.process"
UPLINK = b"slirp4netns"  # what is chosen where both are there
IN_A_NETWORK = "nameserver 198.51.100.2\n"


@pytest.fixture
def wire() -> Iterator[Wire]:
    found = rootless_hosts.world()
    yield found
    found.close()


@pytest.fixture
def start(rootless_user: rootless.User, wire: Wire, tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Starts the engine with flags, with an /etc/resolv.conf; at the end nothing of it is left."""
    for program in DRIVERS:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian: passt, slirp4netns)")
    with contextlib.ExitStack() as stack:

        def started(*flags: str, servers: str = IN_A_NETWORK, env: dict[str, str] | None = None) -> Engine:
            (tmp_path / "resolv.conf").write_text(servers)
            engine = rootless_hosts.engine_on(wire, rootless_user, tmp_path, *flags)
            engine.env.update(env or {})
            stack.enter_context(engines.running(engine))
            return engine

        yield started
    within(10, lambda: rootless.processes(rootless_user.uid) == [])


@contextlib.contextmanager
def answering(pid: int, address: str, port: int, text: bytes = b"from the world\n") -> Iterator[None]:
    """A TCP server in the network namespace of a process."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(pid):
        listener = socket.create_server((address, port), family=family)

    def work() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(text)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def ask(engine: Engine, address: str, port: int, *flags: str, seconds: int = 20) -> str:
    """The line that a container gets from a TCP server; empty where it does not reach it.

    It does not wait for the connection's end: bookworm's pasta loses some.
    """
    script = (
        f"(timeout {seconds + 1} nc -w {seconds} {address} {port} </dev/null; touch /tmp/end) >/tmp/got & "
        "until test -s /tmp/got || test -e /tmp/end; do sleep 0.05; done; head -n 1 /tmp/got"
    )
    return engine.run("docker", "run", "--rm", *flags, BUSYBOX, "sh", "-c", script, check=False).stdout


def closed(engine: Engine, address: str, port: int, *flags: str) -> bool:
    return ask(engine, address, port, *flags, seconds=3) == ""


def outside_pid(engine: Engine, name: bytes) -> int:
    """A program, or Python module, that runs as the engine's user."""
    assert isinstance(engine, rootless.Engine)
    for pid in sorted(rootless.processes(engine.who.uid)):  # a program before its own children
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if words.startswith(name + b"\0") or b"from %s import main;" % name in words:
                return pid
    return 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_containers_reach_the_world(start: Callable[..., Engine], wire: Wire, driver: str) -> None:
    engine = start(f"--rootless-network={driver}")
    assert outside_pid(engine, driver.encode())
    parts = {one["Name"]: one["Details"] for one in engine.api("GET", "/version")["Components"]}
    assert parts["rootless"]["NetworkDriver"] == driver
    engine.docker("network", "create", "--ipv6", "six")
    engine.docker("network", "create", "--internal", "inner")
    client = wire.holders[1].pid
    with answering(client, CLIENT, 9000), answering(client, CLIENT6, 9000):
        assert ask(engine, CLIENT, 9000) == "from the world\n"
        assert ask(engine, CLIENT, 9000, "--network=six") == "from the world\n"
        assert ask(engine, CLIENT6, 9000, "--network=six") == "from the world\n"
        assert ask(engine, CLIENT, 9000, "--network=host") == "from the world\n"
        assert closed(engine, CLIENT, 9000, "--network=inner")
        assert closed(engine, CLIENT, 9000, "--network=none")


@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_of_the_host_s_loopback_is_reached(
    start: Callable[..., Engine], wire: Wire, driver: str
) -> None:
    engine = start(f"--rootless-network={driver}")
    engine.docker("network", "create", "--ipv6", "six")
    host, text = wire.host_pid, b"of the host alone\n"
    with answering(host, "127.0.0.1", 9001, text), answering(host, "::1", 9001, text):
        assert elsewhere(host, lambda: _read("127.0.0.1", 9001)) == text
        gateways = ["10.0.2.2", "10.0.2.3", "127.0.0.1", "fd00::2", "fd6f:6e67:6769::2", "::1", "10.0.2.100"]
        for network in ("bridge", "six", "host"):
            for address in gateways:
                assert closed(engine, address, 9001, f"--network={network}"), (network, address)
    # What listens on every address of the host is reached by the host's address, as with Docker.
    with answering(host, HOST, 9002, text), answering(host, HOST6, 9002, text):
        assert ask(engine, HOST, 9002) == text.decode()
        assert ask(engine, HOST6, 9002, "--network=six") == text.decode()


def test_abstract_sockets_of_the_host_are_not_seen(start: Callable[..., Engine], wire: Wire) -> None:
    """CVE-2020-15257's way: the network namespace has its own."""
    engine = start()
    name = f"\0onggi-test-{os.getpid()}"
    with inside(wire.host_pid), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        seen = engine.docker("run", "--rm", "--network=host", BUSYBOX, "cat", "/proc/net/unix")
    assert "onggi-test" not in seen


def _read(address: str, port: int) -> bytes:
    with socket.create_connection((address, port), 30) as peer:
        return peer.recv(100)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_killed_uplink_is_mended_and_told_of(start: Callable[..., Engine], wire: Wire, driver: str) -> None:
    engine = start(f"--rootless-network={driver}")
    with answering(wire.holders[1].pid, CLIENT, 9000):
        first = outside_pid(engine, driver.encode())
        os.kill(first, signal.SIGKILL)
        within(5, lambda: outside_pid(engine, driver.encode()) not in (0, first))
        within(5, lambda: ask(engine, CLIENT, 9000) == "from the world\n")
        within(5, lambda: f"uplink by {driver} was gone or changed and has been made again" in engine.log)


def test_the_uplink_lives_on_without_an_engine_and_is_mended_then_too(
    start: Callable[..., Engine], wire: Wire
) -> None:
    engine = start()
    engine.docker("run", "-d", "--name", "stays", BUSYBOX, "sleep", "1000")
    asks = ["docker", "exec", "stays", "sh", "-c", f"nc -w 20 {CLIENT} 9000 </dev/null"]
    pid, outside = outside_pid(engine, UPLINK), outside_pid(engine, OUTSIDE)
    engine.kill()
    within(5, lambda: outside_pid(engine, b"onggi.daemon.process") == 0)
    assert outside_pid(engine, UPLINK) == pid
    os.kill(pid, signal.SIGKILL)
    within(5, lambda: outside_pid(engine, UPLINK) not in (0, pid))
    engine.start()
    assert outside_pid(engine, OUTSIDE) == outside
    with answering(wire.holders[1].pid, CLIENT, 9000):
        assert engine.run(*asks).stdout == "from the world\n"


def test_everything_outside_ends_with_the_last_who_lives_inside(start: Callable[..., Engine]) -> None:
    engine = start()
    assert isinstance(engine, rootless.Engine)
    engine.docker("run", "-d", "--name", "last", "-p", "8080:80", BUSYBOX, "sleep", "1000")
    pid = engine.api("GET", "/containers/last/json")["State"]["Pid"]
    engine.kill()
    assert outside_pid(engine, UPLINK)
    os.kill(pid, signal.SIGKILL)
    within(15, lambda: rootless.processes(engine.who.uid) == [])
    engine.start()


def test_a_killed_outside_process_comes_back(start: Callable[..., Engine], wire: Wire) -> None:
    engine = start(servers="nameserver 127.0.0.53\n")
    first = outside_pid(engine, OUTSIDE)
    os.kill(first, signal.SIGKILL)
    within(5, lambda: outside_pid(engine, OUTSIDE) not in (0, first))
    within(6, lambda: "process outside of the network namespace was gone" in engine.log)
    with answering(wire.holders[1].pid, CLIENT, 9000):
        within(5, lambda: ask(engine, CLIENT, 9000) == "from the world\n")
    engine.docker("run", "--rm", "-p", "8080:80", BUSYBOX, "true")


def test_without_a_program_the_error_names_the_packages_and_containers_run(
    start: Callable[..., Engine], tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "nsenter", "unshare", "setpriv", "mount", "realpath"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    engine = start(env={"PATH": str(programs)})
    assert "neither slirp4netns nor pasta is installed" in engine.log
    assert "install the package slirp4netns or passt" in engine.log
    assert engine.docker("run", "--rm", BUSYBOX, "echo", "runs") == "runs\n"
    engine.docker("network", "create", "app")
    engine.docker("run", "-d", "--name", "server", "--network", "app", BUSYBOX, "sleep", "1000")
    engine.docker("run", "--rm", "--network", "app", BUSYBOX, "ping", "-c1", "server")


def test_a_way_out_that_does_not_exist_is_refused(start: Callable[..., Engine]) -> None:
    said = 'invalid rootless network: vpnkit: "slirp4netns", "pasta" or "none"'
    with pytest.raises(RuntimeError, match=said):
        start("--rootless-network=vpnkit")


def test_an_uplink_that_cannot_be_had_yet_is_tried_again(start: Callable[..., Engine], wire: Wire) -> None:
    """pasta asks for a host that has a default route, and says so."""
    wire.on_host("ip", "route", "del", "default")
    wire.on_host("ip", "-6", "route", "del", "default")
    engine = start("--rootless-network=pasta")
    within(5, lambda: "no uplink: pasta has ended (exit status 1)" in engine.log)
    wire.on_host("ip", "route", "add", "default", "via", CLIENT)
    within(8, lambda: "uplink by pasta" in engine.log)
    with answering(wire.holders[1].pid, CLIENT, 9000):
        assert ask(engine, CLIENT, 9000) == "from the world\n"


def test_no_uplink_where_none_is_wanted(start: Callable[..., Engine], wire: Wire) -> None:
    engine = start("--rootless-network=none")
    with answering(wire.holders[1].pid, CLIENT, 9000):
        assert closed(engine, CLIENT, 9000)
    assert outside_pid(engine, b"pasta") == outside_pid(engine, b"slirp4netns") == 0


def test_networks_keep_off_the_host_s_routes(start: Callable[..., Engine], wire: Wire) -> None:
    wire.on_host("ip", "route", "add", "172.17.0.0/16", "via", CLIENT)
    wire.on_host("ip", "route", "add", "10.0.2.0/24", "via", CLIENT)
    engine = start()
    engine.docker("run", "--rm", BUSYBOX, "true")
    subnet = engine.api("GET", "/networks/bridge")["IPAM"]["Config"][0]["Subnet"]
    assert subnet == "172.18.0.0/16"
    shown = engine.docker("run", "--rm", "--network=host", BUSYBOX, "ip", "addr", "show", "tap0")
    assert "10.0.3.100/24" in shown


# --- names


@contextlib.contextmanager
def name_server(pid: int, address: str, answer: str) -> Iterator[list[bytes]]:
    """A name server in the network namespace of a process, of one address; yields the questions."""
    from dnslib import RR, A, DNSRecord

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(pid):
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((address, 53))
    asked: list[bytes] = []

    def work() -> None:
        while True:
            data, peer = server.recvfrom(4096)
            if data == b"end":
                return
            asked.append(data)
            question = DNSRecord.parse(data)
            reply = question.reply()
            if question.q.qtype == 1:
                reply.add_answer(RR(question.q.qname, 1, ttl=1, rdata=A(answer)))
            server.sendto(reply.pack(), peer)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield asked
    finally:
        with inside(pid), socket.socket(family, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", (address, 53))
        thread.join()
        server.close()


def look_up(engine: Engine, *flags: str) -> str:
    return engine.run(
        "docker", "run", "--rm", *flags, BUSYBOX, "nslookup", "-type=a", "name.example", check=False
    ).stdout


@pytest.mark.parametrize("address", ["127.0.0.53", "::1"])
def test_the_host_s_own_name_server_answers_containers(
    start: Callable[..., Engine], wire: Wire, address: str
) -> None:
    with name_server(wire.host_pid, address, "192.0.2.53"):
        engine = start(servers=f"nameserver {address}\n")
        engine.docker("network", "create", "app")
        for network in ("bridge", "app", "host"):
            assert "192.0.2.53" in look_up(engine, f"--network={network}"), network


def test_the_name_servers_are_followed_as_they_change(
    start: Callable[..., Engine], wire: Wire, tmp_path: Path
) -> None:
    host, client = wire.host_pid, wire.holders[1].pid
    with (
        name_server(host, "127.0.0.53", "192.0.2.1"),
        name_server(host, "127.0.0.54", "192.0.2.2"),
        name_server(client, CLIENT, "192.0.2.3"),
    ):
        engine = start(servers="nameserver 127.0.0.53\n")
        engine.docker("run", "-d", "--name", "asks", BUSYBOX, "sleep", "1000")
        asks = ["docker", "exec", "asks", "nslookup", "-type=a", "name.example"]
        assert "192.0.2.1" in engine.run(*asks).stdout
        for server, answer in (
            ("127.0.0.54", "192.0.2.2"),
            (CLIENT, "192.0.2.3"),
            ("127.0.0.53", "192.0.2.1"),
        ):
            (tmp_path / "resolv.conf").write_text(f"nameserver {server}\n")
            within(5, lambda answer=answer: answer in engine.run(*asks, check=False).stdout)  # type: ignore[misc]
        engine.kill()
        engine.start()
        assert "192.0.2.1" in engine.run(*asks).stdout
        assert "192.0.2.1" in look_up(engine, "--network=host")


def test_a_name_server_of_a_container_s_own_choice(start: Callable[..., Engine], wire: Wire) -> None:
    with name_server(wire.holders[1].pid, CLIENT, "192.0.2.77"):
        engine = start(servers="nameserver 127.0.0.53\n")
        assert "192.0.2.77" in look_up(engine, f"--dns={CLIENT}")

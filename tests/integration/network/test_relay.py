"""Ports that the relay carries: [::1], and every port of an engine whose ports obey the host's firewall."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import engines, wires
from tests.engines import BUSYBOX, Engine
from tests.published import ask_udp, free, killed_in_mid_publishing, serve
from tests.wires import CLIENT, HOST, Wire, elsewhere, inside, within

pytestmark = pytest.mark.root
HOST6, CLIENT6 = "2001:db8::1", "2001:db8::2"
DROP = "add rule inet theirs input iifname wire0 tcp dport 8080 drop"


@pytest.fixture
def wire() -> Iterator[Wire]:
    found = Wire()
    found.on_host("ip", "addr", "add", f"{HOST6}/64", "dev", "wire0", "nodad")
    enter = ["nsenter", "-t", str(found.holders[1].pid), "-n"]
    subprocess.run([*enter, "ip", "addr", "add", f"{CLIENT6}/64", "dev", "wire1", "nodad"], check=True)
    yield found
    found.close()


@pytest.fixture
def obedient(tmp_path: Path, wire: Wire) -> Iterator[Engine]:
    wire.on_host("nft", "add table inet theirs")
    wire.on_host("nft", "add chain inet theirs input { type filter hook input priority 0 ; policy accept ; }")
    with engines.running(wires.engine_on(wire, tmp_path, "--publish-policy=host-firewall")) as found:
        yield found


def relay_pid(engine: Engine) -> int:
    return engines.process_of(engine, "network.relay.process")


def test_ipv6_ports_are_reached_from_outside_from_here_and_by_localhost(engine: Engine, wire: Wire) -> None:
    engine.docker("network", "create", "--ipv6", "six")
    serve(engine, "--network", "six", "-p", "8080:80")
    ports = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Ports"]["80/tcp"]
    assert {(one["HostIp"], one["HostPort"]) for one in ports} == {("0.0.0.0", "8080"), ("::", "8080")}
    within(5, lambda: wire.fetch(HOST6, 8080) == "hello")
    assert CLIENT6 in engine.docker("exec", "web", "netstat", "-tn")
    for address in ("::1", "127.0.0.1", HOST, HOST6):
        assert wire.fetch(address, 8080, at=0) == "hello", address
    gateway = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["six"]["IPv6Gateway"]
    page = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 15 {gateway} 8080"
    assert "hello" in engine.docker("exec", "web", "sh", "-c", page)
    status = Path(f"/proc/{relay_pid(engine)}/status").read_text()
    assert "Uid:\t65534\t65534" in status
    assert "CapEff:\t0000000000000000" in status
    engine.docker("rm", "-f", "web")
    assert free(wire, 8080, socket.AF_INET6)


def test_a_port_of_localhost_alone_by_ipv6(engine: Engine, wire: Wire) -> None:
    engine.docker("network", "create", "--ipv6", "six")
    serve(engine, "--network", "six", "-p", "[::1]:8080:80")
    within(5, lambda: wire.fetch("::1", 8080, at=0) == "hello")
    assert wire.fetch(HOST6, 8080, timeout=1) == ""
    assert wire.fetch("127.0.0.1", 8080, at=0, timeout=1) == ""


def ports_of(engine: Engine, name: str = "web", key: str = "80/tcp") -> set[tuple[str, str]]:
    listed = engine.api("GET", f"/containers/{name}/json")["NetworkSettings"]["Ports"][key]
    return {(one["HostIp"], one["HostPort"]) for one in listed}


def test_a_container_without_ipv6_is_reached_by_that_of_the_host(engine: Engine, wire: Wire) -> None:
    """As through dockerd's userland-proxy; the relay is started by the first who comes."""
    serve(engine, "-p", "8080:80", "-p", "[::1]:8081:80", "-p", "0.0.0.0:8082:80")
    assert ports_of(engine) == {("0.0.0.0", "8080"), ("::", "8080"), ("::1", "8081"), ("0.0.0.0", "8082")}
    assert engine.onggi("port", "web", "80/tcp").splitlines()[:2] == ["0.0.0.0:8080", "[::]:8080"]
    within(5, lambda: wire.fetch("127.0.0.1", 8080, at=0) == "hello")
    assert not relay_pid(engine)
    assert wire.fetch("::1", 8080, at=0) == "hello"
    assert relay_pid(engine)
    for address, port, at in ((HOST6, 8080, 1), ("::1", 8081, 0), (HOST, 8082, 1)):
        assert wire.fetch(address, port, at=at) == "hello", (address, port)
    assert wire.fetch(HOST6, 8081, timeout=1) == ""
    assert wire.fetch(HOST6, 8082, timeout=1) == ""
    serve(engine, "-p", "8090:80", name="second")
    within(5, lambda: wire.fetch(HOST6, 8090) == "hello")
    engine.docker("rm", "-f", "web")
    assert free(wire, 8080, socket.AF_INET6)
    assert free(wire, 8080)
    assert wire.fetch(HOST6, 8080, timeout=1) == ""
    assert wire.fetch(HOST6, 8090) == "hello"


def test_datagrams_reach_a_container_without_ipv6(engine: Engine, wire: Wire) -> None:
    engine.docker("run", "-d", "--name", "echo", "-p", "9000:9000/udp", BUSYBOX, "sleep", "1000")
    assert ports_of(engine, "echo", "9000/udp") == {("0.0.0.0", "9000"), ("::", "9000")}
    pid = engine.api("GET", "/containers/echo/json")["State"]["Pid"]
    with wires.udp_echo(pid, 9000):
        within(5, lambda: ask(wire, HOST6, b"hello") == b"hello")


def ask(wire: Wire, address: str, data: bytes) -> bytes:
    def work() -> bytes:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as mine:
            mine.settimeout(2)
            mine.sendto(data, (address, 9000))
            try:
                return mine.recv(100)
            except OSError:
                return b""

    return elsewhere(wire.holders[1].pid, work)


def test_a_killed_engine_and_the_next_one_serve_the_ports_that_cross(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080:80")
    serve(engine, "-p", "8081:80", name="asked")
    within(5, lambda: wire.fetch("::1", 8081, at=0) == "hello")
    before = ports_of(engine)
    engine.kill()
    assert wire.fetch("::1", 8081, at=0) == "hello", "its relay lives on"
    assert wire.fetch("127.0.0.1", 8080, at=0) == "hello"
    engine.start()
    assert ports_of(engine) == before
    for port in (8080, 8081):
        assert wire.fetch("::1", port, at=0) == "hello"
    pid = relay_pid(engine)
    os.kill(pid, signal.SIGKILL)
    within(10, lambda: wire.fetch("::1", 8080, at=0) == "hello" and wire.fetch("::1", 8081, at=0) == "hello")
    engine.docker("stop", "-t", "0", "web")
    assert free(wire, 8080, socket.AF_INET6)


def test_a_port_that_is_busy_by_ipv6_alone_is_refused(engine: Engine, wire: Wire) -> None:
    def taken() -> socket.socket:
        mine = socket.socket(socket.AF_INET6)
        mine.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        mine.bind(("::", 8080))
        return mine

    with elsewhere(wire.host_pid, taken):
        done = engine.run(
            "docker", "run", "-d", "--name", "web", "-p", "8080:80", BUSYBOX, "true", check=False
        )
        assert "failed to bind host port for [::]:8080:" in done.stderr
        assert "address already in use" in done.stderr
    engine.docker("rm", "web")
    assert free(wire, 8080)


def test_without_a_userland_proxy_ipv6_ends_at_the_host(tmp_path: Path, wire: Wire) -> None:
    with engines.running(wires.engine_on(wire, tmp_path, "--userland-proxy=false")) as engine:
        serve(engine, "-p", "8080:80")
        assert ports_of(engine) == {("0.0.0.0", "8080")}
        within(5, lambda: wire.fetch("127.0.0.1", 8080, at=0) == "hello")
        assert wire.fetch("::1", 8080, at=0) == ""
        words = ("run", "-d", "-p", "[::1]:8081:80", BUSYBOX, "true")
        assert (
            "the container has no address of that family" in engine.run("docker", *words, check=False).stderr
        )


def test_a_host_without_ipv6_publishes_by_ipv4(tmp_path: Path, wire: Wire) -> None:
    for where in ("all", "lo"):
        wire.on_host("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{where}/disable_ipv6")
    with engines.running(wires.engine_on(wire, tmp_path)) as engine:
        serve(engine, "-p", "8080:80")
        assert ports_of(engine) == {("0.0.0.0", "8080")}
        within(5, lambda: wire.fetch("127.0.0.1", 8080, at=0) == "hello")


def test_ports_obey_the_rules_of_input(obedient: Engine, wire: Wire) -> None:
    serve(obedient, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    wire.on_host("nft", DROP)
    assert wire.fetch(HOST, 8080, timeout=1) == ""
    assert wire.fetch("127.0.0.1", 8080, at=0) == "hello"
    bridge = obedient.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["bridge"]
    page = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 15 {bridge['Gateway']} 8080"
    assert "hello" in obedient.docker("exec", "web", "sh", "-c", page)
    wire.on_host("nft", "flush chain inet theirs input")
    assert wire.fetch(HOST, 8080) == "hello"
    # What it costs: the container sees the host's address in its network, not the client's.
    connected = obedient.docker("exec", "web", "netstat", "-tn")
    assert CLIENT not in connected
    obedient.docker("rm", "-f", "web")
    assert free(wire, 8080)
    assert wire.fetch(HOST, 8080, timeout=1) == ""


def test_nat_is_the_default_and_goes_past_input(engine: Engine, wire: Wire) -> None:
    """As with Docker, the surprise that the policy is for."""
    wire.on_host("nft", "add table inet theirs")
    wire.on_host("nft", "add chain inet theirs input { type filter hook input priority 0 ; policy accept ; }")
    wire.on_host("nft", DROP)
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")


def test_ranges_random_ports_and_ipv6_obey_too(obedient: Engine, wire: Wire) -> None:
    obedient.docker("network", "create", "--ipv6", "six")
    serve(obedient, "--network", "six", "-p", "8080-8081:80-81", "-p", "80")
    within(5, lambda: wire.fetch(HOST6, 8080) == "hello")
    ports = obedient.api("GET", "/containers/web/json")["NetworkSettings"]["Ports"]["80/tcp"]
    chosen = int(next(one["HostPort"] for one in ports if one["HostPort"] != "8080"))
    assert wire.fetch(HOST, chosen) == "hello"
    wire.on_host("nft", DROP)
    assert wire.fetch(HOST6, 8080, timeout=1) == ""
    assert wire.fetch(HOST, chosen) == "hello"
    obedient.docker("rm", "-f", "web")
    assert free(wire, 8081)


def test_udp_answers_from_the_address_that_was_asked(obedient: Engine, wire: Wire) -> None:
    wire.on_host("ip", "addr", "add", "198.51.100.9/24", "dev", "wire0")
    obedient.docker("run", "-d", "--name", "udp", "-p", "5353:53/udp", BUSYBOX, "sleep", "1000")
    with wires.udp_echo(obedient.api("GET", "/containers/udp/json")["State"]["Pid"], 53):
        within(10, lambda: ask_udp(wire, "198.51.100.9", 5353) == b"ping")
        wire.on_host("nft", "add rule inet theirs input udp dport 5353 drop")
        assert ask_udp(wire, "198.51.100.9", 5353) == b""


def test_a_udp_flow_follows_the_port_from_container_to_container(engine: Engine, wire: Wire) -> None:
    """One client that never is silent and keeps its source port: before, during and after a container."""
    answers: list[bytes] = []
    stop = threading.Event()

    def client() -> None:
        with inside(wire.holders[1].pid), socket.socket(type=socket.SOCK_DGRAM) as mine:
            mine.settimeout(0.1)
            mine.connect((HOST, 5353))
            while not stop.is_set():
                try:
                    mine.send(b"ping")
                    answers.append(mine.recv(100))
                except OSError:
                    answers.append(b"")

    asking = threading.Thread(target=client)
    asking.start()
    try:
        for name in (b"first", b"second"):
            flags = ["--name", name.decode(), "-p", "5353:53/udp"]
            engine.docker("run", "-d", *flags, BUSYBOX, "sleep", "1000")
            pid = engine.api("GET", f"/containers/{name.decode()}/json")["State"]["Pid"]
            with wires.udp_echo(pid, 53, name):
                within(5, lambda name=name: name in answers[-2:])  # type: ignore[misc]
            engine.docker("rm", "-f", name.decode())
    finally:
        stop.set()
        asking.join()


def test_the_relay_outlives_the_engine_and_the_next_engine_takes_it_up(obedient: Engine, wire: Wire) -> None:
    serve(obedient, "-p", "8080:80")
    serve(obedient, "-p", "8082:80", name="second")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello" and wire.fetch(HOST, 8082) == "hello")
    pid = relay_pid(obedient)
    obedient.kill()
    assert wire.fetch(HOST, 8080) == "hello"
    obedient.start()
    assert relay_pid(obedient) == pid
    assert wire.fetch(HOST, 8080) == "hello"
    busy = obedient.run("docker", "run", "--rm", "-p", "8080:80", BUSYBOX, "true", check=False)
    assert "port is already allocated" in busy.stderr
    obedient.docker("restart", "-t", "0", "second")
    within(5, lambda: wire.fetch(HOST, 8082) == "hello")
    obedient.docker("rm", "-f", "second")
    assert free(wire, 8082)
    assert wire.fetch(HOST, 8080) == "hello"
    os.kill(pid, signal.SIGKILL)
    within(6, lambda: wire.fetch(HOST, 8080) == "hello")
    within(5, lambda: "relay process was gone" in obedient.log)
    obedient.docker("rm", "-f", "web")
    assert free(wire, 8080)


def test_without_iptables_the_relay_leads(tmp_path: Path, wire: Wire) -> None:
    with engines.running(wires.engine_on(wire, tmp_path, "--iptables=false")) as engine:
        serve(engine, "-p", "8080:80")
        within(5, lambda: wire.fetch(HOST, 8080) == "hello")
        assert "onggi" not in wire.on_host("nft", "list", "tables")


def test_a_large_transfer_and_a_half_closed_connection(obedient: Engine, wire: Wire) -> None:
    """Both ends arrive: what is sent after the other side's end, and every byte of 64 MB."""
    script = "exec nc -l -p 80 -e sh -c 'wc -c'"
    obedient.docker("run", "-d", "--name", "count", "-p", "8080:80", BUSYBOX, "sh", "-c", script)
    listening = "exec", "count", "netstat", "-tln"
    within(5, lambda: ":80 " in obedient.docker(*listening))

    def work() -> bytes:
        with socket.create_connection((HOST, 8080), timeout=60) as peer:
            for _ in range(64):
                peer.sendall(bytes(1 << 20))
            peer.shutdown(socket.SHUT_WR)
            return peer.recv(100)

    assert elsewhere(wire.holders[1].pid, work) == b"%d\n" % (64 << 20)


def test_a_policy_that_is_none_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(engines.ONGGI), "daemon", "--validate", "--publish-policy=ufw"], capture_output=True, text=True
    )
    assert done.returncode
    assert 'invalid publish policy: ufw: "nat" or "host-firewall"' in done.stderr


def obeys(
    obedient: Engine, wire: Wire, rule: Callable[[str], str], allow: str, forbid: str, allow_the_client: str
) -> None:
    """A firewall that refuses what comes in, until it is given rules."""
    obedient.docker("network", "create", "--ipv6", "six")
    serve(obedient, "--network", "six", "-p", "8080:80")
    within(5, lambda: wire.fetch("127.0.0.1", 8080, at=0) == "hello")
    for address in (HOST, HOST6):
        assert wire.fetch(address, 8080, timeout=1) == "", address
    rule(allow)
    for address in (HOST, HOST6):
        assert wire.fetch(address, 8080) == "hello", address
    rule(forbid)
    assert wire.fetch(HOST, 8080, timeout=1) == ""
    rule(allow_the_client)
    assert wire.fetch(HOST, 8080) == "hello"


def passes(engine: Engine, wire: Wire, reload: Callable[[], object]) -> None:
    """A published port is reached, and the client by a container."""
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    with inside(wire.holders[1].pid), socket.create_server((CLIENT, 9000)) as listener:
        page = f"echo | timeout 30 nc -w 30 {CLIENT} 9000"
        asking = threading.Thread(target=lambda: engine.docker("exec", "web", "sh", "-c", page))
        asking.start()
        listener.settimeout(30)
        peer, _ = listener.accept()
        peer.close()
        asking.join()
    reload()
    within(5, lambda: wire.fetch(HOST, 8080, timeout=1) == "hello")


UFW = (
    "mount --make-rprivate /; mount --bind {0}/ufw /etc/ufw; mount --bind {0}/default /etc/default; "
    "exec ufw {1}"
)


@pytest.fixture
def ufw(tmp_path: Path, wire: Wire) -> Callable[[str], str]:
    """ufw(8) on the host of the wire, with a configuration of its own."""
    if shutil.which("ufw") is None:
        pytest.skip("needs Debian's ufw")
    own = tmp_path / "firewall"
    shutil.copytree("/etc/ufw", own / "ufw", symlinks=True)
    shutil.copytree("/etc/default", own / "default", symlinks=True)
    return lambda words: wire.on_host("unshare", "-m", "sh", "-c", UFW.format(own, words))


def test_ufw_rules_a_port_of_an_obedient_engine(
    obedient: Engine, wire: Wire, ufw: Callable[[str], str]
) -> None:
    ufw("--force enable")
    assert "Default: deny (incoming)" in ufw("status verbose")
    allow_the_client = f"allow from {CLIENT} to any port 8080 proto tcp"
    obeys(obedient, wire, ufw, "allow 8080/tcp", "--force delete allow 8080/tcp", allow_the_client)


def test_beside_ufw_docker_s_policy_passes_and_containers_reach_the_world(
    engine: Engine, wire: Wire, ufw: Callable[[str], str]
) -> None:
    """ufw's chains drop what is routed, too: what ours lets through passes them, also after a reload."""
    ufw("--force enable")
    passes(engine, wire, lambda: ufw("reload"))


BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow send_type="*"/>
<allow receive_type="*"/></policy></busconfig>
"""
FIREWALLD = (
    "mount --make-rprivate /; mount -t tmpfs none /run; mkdir /run/dbus; cp -a /etc/firewalld /run/own; "
    "dbus-daemon --config-file={0} --nofork --nopidfile & "
    "while ! [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done; "
    "exec firewalld --nofork --nopid --system-config /run/own --log-file /run/log"
)


@pytest.fixture
def firewalld(tmp_path: Path, wire: Wire) -> Iterator[Callable[[str], str]]:
    """firewalld(1) on the host of the wire, with a bus and a configuration of its own."""
    if shutil.which("firewalld") is None or shutil.which("dbus-daemon") is None:
        pytest.skip("needs Debian's firewalld")
    bus = tmp_path / "bus.conf"
    bus.write_text(BUS)
    command = ["nsenter", "-t", str(wire.host_pid), "-n", "unshare", "-m", "sh", "-c", FIREWALLD.format(bus)]
    daemon = subprocess.Popen(command, start_new_session=True)

    def asked(*words: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "-t", str(daemon.pid), "-n", "-m"]
        return subprocess.run([*enter, "firewall-cmd", *words], capture_output=True, text=True)

    def ask(*words: str) -> str:
        done = asked(*words)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    try:
        within(30, lambda: asked("--state").stdout == "running\n")
        ask("--zone=public", "--change-interface=wire0")
        yield ask
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()


def test_firewalld_rules_a_port_of_an_obedient_engine(
    obedient: Engine, wire: Wire, firewalld: Callable[[str], str]
) -> None:
    rich = f"rule family=ipv4 source address={CLIENT} port port=8080 protocol=tcp accept"
    obeys(
        obedient, wire, firewalld, "--add-port=8080/tcp", "--remove-port=8080/tcp", f"--add-rich-rule={rich}"
    )


def test_beside_firewalld_docker_s_policy_passes_and_containers_reach_the_world(
    engine: Engine, wire: Wire, firewalld: Callable[[str], str]
) -> None:
    """Its zones refuse what is routed, too: what ours lets through passes them, also after a reload."""
    passes(engine, wire, lambda: firewalld("--reload"))


@pytest.mark.parametrize("point", ["network.reserved", "network.opened", "network.shut"])
def test_a_kill_in_mid_publishing_leaves_no_port_behind(obedient: Engine, wire: Wire, point: str) -> None:
    """The relay goes on with those of running containers and lets go of the port that was cut off."""
    killed_in_mid_publishing(obedient, wire, point)

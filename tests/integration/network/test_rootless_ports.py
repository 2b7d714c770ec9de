"""Published ports of a user's engine: sockets of the host, made outside, carried by the relay within."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, rootless, rootless_hosts, wires
from tests.engines import BUSYBOX, Engine
from tests.published import ask_udp, free, killed_in_mid_publishing, serve
from tests.rootless_hosts import CLIENT6, HOST6
from tests.wires import CLIENT, HOST, Wire, elsewhere, within

pytestmark = pytest.mark.root


@pytest.fixture
def wire() -> Iterator[Wire]:
    found = rootless_hosts.world()
    yield found
    found.close()


@pytest.fixture
def engine(rootless_user: rootless.User, wire: Wire, tmp_path: Path) -> Iterator[Engine]:
    prepared = rootless_hosts.engine_on(wire, rootless_user, tmp_path, "--rootless-network=none")
    with engines.running(prepared) as found:
        yield found
    within(10, lambda: rootless.processes(rootless_user.uid) == [])


def ports(engine: Engine, name: str = "web") -> dict[str, list[tuple[str, int]]]:
    shown = engine.api("GET", f"/containers/{name}/json")["NetworkSettings"]["Ports"]
    return {key: [(one["HostIp"], int(one["HostPort"])) for one in listed] for key, listed in shown.items()}


def everywhere(port: int) -> list[tuple[str, int]]:
    return [("0.0.0.0", port), ("::", port)]


def test_a_port_is_reached_from_the_host_and_from_outside(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    assert wire.fetch("127.0.0.1", 8080, at=0) == "hello"
    assert wire.fetch(HOST, 8080, at=0) == "hello"
    assert ports(engine) == {"80/tcp": everywhere(8080)}
    assert engine.docker("port", "web") == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    assert "0.0.0.0:8080->80/tcp" in engine.docker("ps")
    # The client is the gateway to the container, as with Docker's rootless mode.
    connected = engine.docker("exec", "web", "netstat", "-tn")
    gateway = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
    assert gateway in connected
    assert CLIENT not in connected
    engine.docker("rm", "-f", "web")
    assert free(wire, 8080)


def test_one_address_of_the_host_alone(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "127.0.0.1:8080:80", "-p", f"{HOST}:8081:80")
    within(5, lambda: wire.fetch("127.0.0.1", 8080, at=0) == "hello")
    assert wire.fetch(HOST, 8080, timeout=1) == ""
    assert wire.fetch(HOST, 8081) == "hello"
    assert wire.fetch("127.0.0.1", 8081, at=0, timeout=1) == ""


def test_ipv6(engine: Engine, wire: Wire) -> None:
    engine.docker("network", "create", "--ipv6", "six")
    serve(engine, "--network", "six", "-p", "8080:80", "-p", "[::1]:8081:80")
    within(5, lambda: wire.fetch(HOST6, 8080) == "hello")
    assert wire.fetch(HOST, 8080) == "hello"
    for address in ("::1", "127.0.0.1", HOST, HOST6):
        assert wire.fetch(address, 8080, at=0) == "hello", address
    assert wire.fetch("::1", 8081, at=0) == "hello"
    assert wire.fetch(HOST6, 8081, timeout=1) == ""


def test_ranges_random_ports_and_all_exposed(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080-8081:80-81", "-p", "80", name="first")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    shown = ports(engine, "first")
    assert ("0.0.0.0", 8080) in shown["80/tcp"]
    assert shown["81/tcp"] == everywhere(8081)
    chosen = next(number for _, number in shown["80/tcp"] if number != 8080)
    assert wire.fetch(HOST, chosen) == "hello"
    serve(engine, "-p", "8080-8085:80", name="second")
    assert ports(engine, "second") == {"80/tcp": everywhere(8082)}
    serve(engine, "-P", "--expose", "80", name="third")
    number = ports(engine, "third")["80/tcp"][0][1]
    within(5, lambda: wire.fetch(HOST, number) == "hello")


def test_udp_answers_from_the_address_that_was_asked(engine: Engine, wire: Wire) -> None:
    wire.on_host("ip", "addr", "add", "198.51.100.9/24", "dev", "wire0")
    engine.docker("network", "create", "--ipv6", "six")
    flags = ["--network", "six", "-p", "5353:53/udp"]
    engine.docker("run", "-d", "--name", "udp", *flags, BUSYBOX, "sleep", "1000")
    with wires.udp_echo(engine.api("GET", "/containers/udp/json")["State"]["Pid"], 53):
        for address in ("198.51.100.9", HOST, HOST6):
            within(10, lambda address=address: ask_udp(wire, address, 5353) == b"ping")  # type: ignore[misc]
    engine.docker("rm", "-f", "udp")
    assert free(wire, 5353, kind=socket.SOCK_DGRAM)


def test_a_busy_port_fails_in_docker_s_words_and_leaves_nothing(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080:80")
    busy = engine.run("docker", "run", "--rm", "-p", "8080:80", BUSYBOX, "true", check=False)
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in busy.stderr
    with elsewhere(wire.host_pid, lambda: socket.create_server((HOST, 8090))):
        flags = ["-p", "8091:80", "-p", "8090:80"]
        busy = engine.run("docker", "run", "--name", "none", *flags, BUSYBOX, "true", check=False)
        assert "failed to bind host port for 0.0.0.0:8090:" in busy.stderr
        assert "address already in use" in busy.stderr
        assert free(wire, 8091)
    engine.docker("start", "none")
    absent = engine.run("docker", "run", "--rm", "-p", "203.0.113.9:8099:80", BUSYBOX, "true", check=False)
    assert "cannot assign requested address" in absent.stderr


def test_a_low_port_is_explained(engine: Engine, wire: Wire) -> None:
    low = engine.run("docker", "run", "--rm", "-p", "80:80", BUSYBOX, "true", check=False)
    said = (
        "cannot expose privileged port 80, you can add 'net.ipv4.ip_unprivileged_port_start=80' to "
        "/etc/sysctl.conf (currently 1024), or choose a larger port number (>= 1024)"
    )
    assert said in low.stderr
    wire.on_host("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=80")
    serve(engine, "-p", "80:80")
    within(5, lambda: wire.fetch(HOST, 80) == "hello")
    low = engine.run("docker", "run", "--rm", "-p", "79:80", BUSYBOX, "true", check=False)
    assert "(currently 80)" in low.stderr


def test_ports_of_a_running_container_change(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080:80")
    engine.onggi("update", "--publish-add", "8081:80", "--publish-rm", "8080:80", "web")
    within(5, lambda: wire.fetch(HOST, 8081) == "hello")
    assert ports(engine) == {"80/tcp": everywhere(8081)}
    assert free(wire, 8080)
    engine.docker("restart", "-t", "0", "web")
    within(5, lambda: wire.fetch(HOST, 8081) == "hello")
    engine.docker("stop", "-t", "0", "web")
    assert free(wire, 8081)


def test_own_ports_and_those_of_neighbours_from_within(engine: Engine, wire: Wire) -> None:
    """By the gateway's address, as with root; the host's own address needs the uplink."""
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    gateway = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
    page = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 15 {gateway} 8080"
    assert "hello" in engine.docker("exec", "web", "sh", "-c", page)
    assert "hello" in engine.docker("run", "--rm", BUSYBOX, "sh", "-c", page)
    local = page.replace(gateway, "127.0.0.1")
    assert "hello" in engine.docker("run", "--rm", "--network=host", BUSYBOX, "sh", "-c", local)


def test_a_container_s_own_port_by_the_host_s_address(
    rootless_user: rootless.User, wire: Wire, tmp_path: Path
) -> None:
    if shutil.which("slirp4netns") is None:
        pytest.skip("needs Debian's slirp4netns")
    prepared = rootless_hosts.engine_on(wire, rootless_user, tmp_path, "--rootless-network=slirp4netns")
    with engines.running(prepared) as engine:
        serve(engine, "-p", "8080:80")
        page = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 15 {HOST} 8080"
        within(5, lambda: "hello" in engine.docker("exec", "web", "sh", "-c", page))


def relay_pid(engine: Engine) -> int:
    assert isinstance(engine, rootless.Engine)
    mark = f"{engine.exec_root}/relay.sock".encode()
    for pid in engines.processes(engine):
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def test_the_relay_is_nobody_of_the_user_s(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")  # it becomes nobody before it serves
    status = Path(f"/proc/{relay_pid(engine)}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t0\t" not in status


def test_ports_outlive_the_engine_and_are_taken_up(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080:80")
    serve(engine, "-p", "8082:80", name="second")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello" and wire.fetch(HOST, 8082) == "hello")
    pid = relay_pid(engine)
    second = engine.api("GET", "/containers/second/json")["State"]["Pid"]
    engine.kill()
    assert wire.fetch(HOST, 8080) == "hello"
    os.kill(second, signal.SIGKILL)
    within(5, lambda: free(wire, 8082))  # its container has ended, with no engine to say so
    engine.start()
    assert relay_pid(engine) == pid
    assert wire.fetch(HOST, 8080) == "hello"
    assert ports(engine) == {"80/tcp": everywhere(8080)}
    busy = engine.run("docker", "run", "--rm", "-p", "8080:80", BUSYBOX, "true", check=False)
    assert "port is already allocated" in busy.stderr
    os.kill(pid, signal.SIGKILL)
    within(6, lambda: wire.fetch(HOST, 8080) == "hello")
    engine.docker("rm", "-f", "web")
    assert free(wire, 8080)


def test_a_port_of_a_user_without_subordinate_ids(wire: Wire, tmp_path: Path) -> None:
    with rootless.user(subordinate_ids=False) as who:
        with engines.running(rootless_hosts.engine_on(wire, who, tmp_path, "--rootless-network=none")) as one:
            serve(one, "-p", "8080:80")
            within(5, lambda: wire.fetch(HOST, 8080) == "hello")
        within(10, lambda: rootless.processes(who.uid) == [])


@pytest.mark.slow
@pytest.mark.parametrize("point", ["network.reserved", "network.opened", "network.published", "network.shut"])
def test_a_kill_in_mid_publishing_leaves_no_port_behind(engine: Engine, wire: Wire, point: str) -> None:
    killed_in_mid_publishing(engine, wire, point)


def test_networks_as_with_root(engine: Engine, wire: Wire) -> None:
    """Names, aliases, several networks, internal, IPv6, connect while running."""
    for name, *flags in (("one",), ("two", "--ipv6"), ("inner", "--internal")):
        engine.docker("network", "create", *flags, name)
    run = ["run", "-d", "--network", "one", "--network-alias", "friend", "--name", "first"]
    engine.docker(*run, BUSYBOX, "sleep", "1000")
    engine.docker("run", "-d", "--network", "two", "--name", "second", BUSYBOX, "sleep", "1000")
    engine.docker("exec", "first", "ping", "-c1", "-W10", "friend")
    assert engine.run("docker", "exec", "second", "ping", "-c1", "-W2", "first", check=False).returncode
    engine.docker("network", "connect", "two", "first")
    engine.docker("exec", "second", "ping", "-c1", "-W10", "first")
    engine.docker("exec", "second", "ping6", "-c1", "-W10", "first")
    engine.docker("network", "disconnect", "two", "first")
    assert engine.run("docker", "exec", "second", "ping", "-c1", "-W2", "first", check=False).returncode
    engine.docker("network", "connect", "inner", "second")
    assert "eth1" in engine.docker("exec", "second", "ip", "addr")
    assert engine.docker("run", "--rm", "--network=none", BUSYBOX, "ip", "-o", "link").count("\n") == 1
    engine.docker("run", "-d", "--name", "shares", "--network=container:first", BUSYBOX, "sleep", "9")
    assert CLIENT6 not in engine.docker("exec", "shares", "ip", "addr")

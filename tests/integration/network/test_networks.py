"""User-defined networks and published ports, by docker's own client, on the real kernel."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine
from tests.published import SERVE

pytestmark = pytest.mark.root

MADE: set[str] = set()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("net")) as found:
        engines.import_busybox(found)
        yield found
        found.remove_all()
        found.docker("network", "prune", "-f")
        found.stop()
        assert engines.leftovers(found) == []
        assert not (bridges() & MADE)


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    yield
    MADE.update(f"br-{item['Id'][:12]}" for item in engine.api("GET", "/networks"))
    engine.remove_all()
    engine.docker("network", "prune", "-f")


def bridges() -> set[str]:
    """The bridges of user-defined networks on this host."""
    found = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    return {link["ifname"] for link in found if link["ifname"].startswith("br-")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, seconds: float = 20) -> str:
    """The page, as soon as somebody serves it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=5).read().decode().strip()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def get(address: str, port: int = 80, seconds: int = 15) -> list[str]:
    """A command of busybox that fetches a page by address: its static wget cannot."""
    ask = f"timeout {seconds + 1} nc -w {seconds} {address} {port}"
    return ["sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | {ask}"]


def refused(engine: Engine, *args: str) -> str:
    done = engine.run("docker", *args, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def settings(engine: Engine, name: str) -> dict[str, Any]:
    """NetworkSettings, with what the default bridge has among them."""
    found: dict[str, Any] = engine.api("GET", f"/containers/{name}/json")["NetworkSettings"]
    return {**found["Networks"].get("bridge", {}), **found}


def test_a_published_port_is_reached_from_here_and_freed_with_the_container(engine: Engine) -> None:
    port = free_port()
    engine.docker("run", "-d", "--name", "web", "-p", f"{port}:80", BUSYBOX, "sh", "-c", SERVE)
    assert fetch(f"http://127.0.0.1:{port}/") == "hello"
    gateway = settings(engine, "web")["Gateway"]
    assert fetch(f"http://{gateway}:{port}/") == "hello"
    assert engine.docker("port", "web", "80").splitlines()[0] == f"0.0.0.0:{port}"
    busy = refused(engine, "run", "--name", "other", "-p", f"{port}:80", BUSYBOX, "true")
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in busy
    engine.docker("rm", "-f", "web")
    with socket.socket() as mine:
        mine.bind(("0.0.0.0", port))


def test_a_port_of_another_program_is_refused_and_nothing_is_left(engine: Engine) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        busy = refused(engine, "run", "--name", "late", "-p", f"{port}:80", BUSYBOX, "true")
        assert f"failed to bind host port for 0.0.0.0:{port}:" in busy
        assert "address already in use" in busy
    assert engine.api("GET", "/networks/bridge")["Containers"] == {}
    engine.docker("rm", "late")
    engine.docker("run", "--rm", "-p", f"{port}:80", BUSYBOX, "true")


def test_containers_reach_a_published_port_also_their_own(engine: Engine) -> None:
    port = free_port()
    engine.docker("run", "-d", "--name", "web", "-p", f"{port}:80", BUSYBOX, "sh", "-c", SERVE)
    fetch(f"http://127.0.0.1:{port}/")
    gateway = settings(engine, "web")["Gateway"]
    engine.docker("network", "create", "elsewhere")
    page = get(gateway, port)
    assert engine.docker("exec", "web", *page).endswith("hello\n")
    assert engine.docker("run", "--rm", BUSYBOX, *page).endswith("hello\n")
    assert engine.docker("run", "--rm", "--network", "elsewhere", BUSYBOX, *page).endswith("hello\n")


def test_networks_are_apart_and_an_internal_one_has_no_way_out(engine: Engine) -> None:
    engine.docker("network", "create", "one")
    engine.docker("network", "create", "--internal", "inner")
    engine.docker("run", "-d", "--name", "web", "--network", "one", BUSYBOX, "sh", "-c", SERVE)
    address = settings(engine, "web")["Networks"]["one"]["IPAddress"]
    fetch(f"http://{address}/")
    page = get(address)
    assert engine.docker("run", "--rm", "--network", "one", BUSYBOX, *page).endswith("hello\n")
    for other in ("bridge", "inner"):
        alone = get(address, seconds=2)
        got = engine.run("docker", "run", "--rm", "--network", other, BUSYBOX, *alone, check=False)
        assert "hello" not in got.stdout
    assert "default" not in engine.docker("run", "--rm", "--network", "inner", BUSYBOX, "ip", "route")


def test_connect_and_disconnect_while_it_runs_move_the_route_and_the_port(engine: Engine) -> None:
    port = free_port()
    for name in ("first", "second"):
        engine.docker("network", "create", name)
    engine.docker(
        "run", "-d", "--name", "web", "--network", "first", "-p", f"{port}:80", BUSYBOX, "sh", "-c", SERVE
    )
    engine.docker("network", "connect", "--alias", "www", "second", "web")
    assert "eth1" in engine.docker("exec", "web", "ip", "link")
    assert settings(engine, "web")["Networks"]["second"]["Aliases"] == ["www"]
    assert "already exists in network second" in refused(engine, "network", "connect", "second", "web")
    engine.docker("network", "disconnect", "first", "web")
    gateway = settings(engine, "web")["Networks"]["second"]["Gateway"]
    assert f"default via {gateway}" in engine.docker("exec", "web", "ip", "route")
    assert fetch(f"http://127.0.0.1:{port}/") == "hello"
    assert "has active endpoints" in refused(engine, "network", "rm", "second")
    engine.docker("network", "rm", "first")


def test_static_addresses_ranges_and_what_is_refused(engine: Engine) -> None:
    engine.docker(
        "network", "create", "--subnet", "10.213.0.0/24", "--ip-range", "10.213.0.128/25",
        "--gateway", "10.213.0.254", "--aux-address", "printer=10.213.0.129", "plan",
    )  # fmt: skip
    shown = engine.docker("run", "--rm", "--network", "plan", BUSYBOX, "ip", "-4", "addr", "show", "eth0")
    assert "10.213.0.128/24" in shown
    routes = engine.docker(
        "run", "--rm", "--network", "plan", "--ip", "10.213.0.7", "--mac-address", "02:00:00:00:00:07",
        BUSYBOX, "sh", "-c", "ip route; ip addr show eth0",
    )  # fmt: skip
    assert "default via 10.213.0.254" in routes
    assert "10.213.0.7/24" in routes
    assert "02:00:00:00:00:07" in routes
    engine.docker("run", "-d", "--name", "seven", "--network", "plan", "--ip", "10.213.0.7", BUSYBOX, "top")
    taken = refused(engine, "run", "--rm", "--network", "plan", "--ip", "10.213.0.7", BUSYBOX, "true")
    assert "Address already in use" in taken
    foreign = refused(engine, "run", "--rm", "--network", "plan", "--ip", "10.214.0.7", BUSYBOX, "true")
    assert "no configured subnet contains IP address 10.214.0.7" in foreign
    overlap = refused(engine, "network", "create", "--subnet", "10.213.0.0/25", "again")
    assert "Pool overlaps with other one on this address space" in overlap
    assert "network with name plan already exists" in refused(engine, "network", "create", "plan")


def test_ipv6_without_configuration_by_its_own_prefix(engine: Engine) -> None:
    engine.docker("network", "create", "--ipv6", "six")
    engine.docker("run", "-d", "--name", "web", "--network", "six", BUSYBOX, "sh", "-c", SERVE)
    address = settings(engine, "web")["Networks"]["six"]["GlobalIPv6Address"]
    assert address.startswith("fd")
    fetch(f"http://[{address}]/")
    assert engine.docker("run", "--rm", "--network", "six", BUSYBOX, *get(address)).endswith("hello\n")
    assert fetch(f"http://[{address}]/") == "hello"


def test_a_range_a_random_port_udp_and_publish_all(engine: Engine) -> None:
    engine.docker(
        "run", "-d", "--name", "many", "-p", "80", "-p", "127.0.0.1:0:53/udp", "--expose", "9000", "-P",
        BUSYBOX, "top",
    )  # fmt: skip
    ports = settings(engine, "many")["Ports"]
    assert int(ports["80/tcp"][0]["HostPort"]) > 1023
    assert ports["53/udp"][0]["HostIp"] == "127.0.0.1"
    assert int(ports["9000/tcp"][0]["HostPort"]) > 1023
    refused_ = refused(engine, "run", "--rm", "-p", "70000:80", BUSYBOX, "true")
    assert "invalid" in refused_
    status, text = engine.request(
        "POST", "/containers/create", {"Image": BUSYBOX, "HostConfig": {"PortBindings": {"0/tcp": [{}]}}}
    )
    assert status == 400, text


def test_icc_off_keeps_neighbours_apart(engine: Engine) -> None:
    engine.docker("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart")
    engine.docker("run", "-d", "--name", "web", "--network", "apart", BUSYBOX, "sh", "-c", SERVE)
    address = settings(engine, "web")["Networks"]["apart"]["IPAddress"]
    assert fetch(f"http://{address}/") == "hello"
    page = get(address, seconds=2)
    got = engine.run("docker", "run", "--rm", "--network", "apart", BUSYBOX, *page, check=False)
    assert "hello" not in got.stdout


def test_a_deleted_bridge_and_a_flushed_table_are_mended_within_five_seconds(engine: Engine) -> None:
    port = free_port()
    network = engine.docker("network", "create", "broken").strip()
    engine.docker(
        "run", "-d", "--name", "web", "--network", "broken", "-p", f"{port}:80", BUSYBOX, "sh", "-c", SERVE
    )
    fetch(f"http://127.0.0.1:{port}/")
    table = f"onggi_{engines.own_suffix(engine)}"
    subprocess.run(["ip", "link", "del", f"br-{network[:12]}"], check=True)
    subprocess.run(["nft", "flush", "table", "inet", table], check=True)
    assert fetch(f"http://127.0.0.1:{port}/") == "hello"
    engines.until(lambda: "has been made again" in engine.log)


def test_the_engine_dies_and_connections_and_ports_live_on(engine: Engine) -> None:
    port = free_port()
    engine.docker("network", "create", "stays")
    engine.docker(
        "run", "-d", "--name", "web", "--network", "stays", "-p", f"{port}:80", BUSYBOX, "sh", "-c", SERVE
    )
    fetch(f"http://127.0.0.1:{port}/")
    before = settings(engine, "web")
    engine.kill()
    assert fetch(f"http://127.0.0.1:{port}/") == "hello"
    engine.start()
    assert settings(engine, "web") == before
    assert fetch(f"http://127.0.0.1:{port}/") == "hello"
    busy = refused(engine, "run", "--rm", "-p", f"{port}:80", BUSYBOX, "true")
    assert "port is already allocated" in busy


def test_host_none_and_another_containers_network(engine: Engine) -> None:
    engine.docker("run", "-d", "--name", "web", BUSYBOX, "sh", "-c", SERVE)
    fetch(f"http://{settings(engine, 'web')['IPAddress']}/")
    shared = engine.docker("run", "--rm", "--network", "container:web", BUSYBOX, *get("127.0.0.1"))
    assert shared.endswith("hello\n")
    key = settings(engine, "web")["SandboxKey"]
    assert (
        "eth0"
        in subprocess.run(["nsenter", f"--net={key}", "ip", "link"], capture_output=True, text=True).stdout
    )
    discarded = engine.run("docker", "run", "--rm", "--network", "host", "-p", "80:80", BUSYBOX, "true")
    assert "Published ports are discarded when using host network mode" in discarded.stderr
    assert "eth0" not in engine.docker("run", "--rm", "--network", "none", BUSYBOX, "ip", "link")
    assert engines.own_suffix(engine) in engine.docker(
        "run", "--rm", "--network", "host", BUSYBOX, "ip", "link"
    )


def test_ports_of_a_running_container_are_added_and_withdrawn(engine: Engine) -> None:
    first, second = free_port(), free_port()
    engine.docker("run", "-d", "--name", "web", "-p", f"{first}:80", BUSYBOX, "sh", "-c", SERVE)
    assert fetch(f"http://127.0.0.1:{first}/") == "hello"
    engine.onggi("update", "--publish-add", f"{second}:80", "--publish-rm", f"{first}:80", "web")
    assert fetch(f"http://127.0.0.1:{second}/") == "hello"
    assert engine.docker("port", "web", "80").splitlines()[0] == f"0.0.0.0:{second}"
    with pytest.raises(OSError, match="refused"):
        fetch(f"http://127.0.0.1:{first}/", seconds=0)
    engine.docker("restart", "-t", "0", "web")
    assert fetch(f"http://127.0.0.1:{second}/") == "hello"
    none = engine.run("onggi", "update", "--publish-rm", "81", "web", check=False)
    assert "No public port '81' published for web" in none.stderr

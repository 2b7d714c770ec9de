"""Published ports in every form, and what a start that fails leaves behind: nothing."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines, wires
from tests.engines import BUSYBOX, Engine
from tests.published import SERVE
from tests.wires import Wire, inside, within

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    found = Wire()
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, wire: Wire) -> Iterator[Engine]:
    """An engine on a host of its own: nobody else has ports there."""
    directory: Path = tmp_path_factory.mktemp("ports")
    with engines.running(wires.engine_on(wire, directory)) as found:
        found.docker("network", "create", "--ipv6", "six")
        yield found


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    yield
    engine.remove_all()


def run(engine: Engine, *flags: str, name: str = "web") -> dict[str, Any]:
    engine.docker("run", "-d", "--name", name, *flags, BUSYBOX, "sh", "-c", SERVE)
    found: dict[str, Any] = engine.api("GET", f"/containers/{name}/json")["NetworkSettings"]["Ports"]
    return found


def refused(engine: Engine, *flags: str) -> str:
    done = engine.run("docker", "run", "--name", "late", *flags, BUSYBOX, "true", check=False)
    assert done.returncode in (125, 126, 127), done
    engine.run("docker", "rm", "-f", "late", check=False)
    return done.stderr


def numbers(ports: dict[str, Any], key: str, host: str = "0.0.0.0") -> list[int]:
    return [int(one["HostPort"]) for one in ports[key] if one["HostIp"] == host]


def state(engine: Engine, wire: Wire) -> tuple[object, ...]:
    """What the host has for the engine's ports: sockets, elements of the table, links, endpoints."""
    text = wire.on_host("nft", "-j", "list", "table", "inet", f"onggi_{engines.own_suffix(engine)}")
    maps = [item["map"] for item in json.loads(text)["nftables"] if "map" in item]
    shut = [item["set"] for item in json.loads(text)["nftables"] if "set" in item]
    opened = {f"{item['name']} {pair}" for item in maps for pair in item.get("elem", [])}
    closed = sum(len(item.get("elem", [])) for item in shut)
    sockets = wire.on_host("ss", "-Hanut").splitlines()
    rows = [line.split() for line in sockets]
    held = sorted(row[0] + row[4] for row in rows if row[1] in ("LISTEN", "UNCONN", "ESTAB"))
    links = wire.on_host("ip", "-o", "link").count(" og")
    networks = engine.api("GET", "/networks/bridge")["Containers"]
    return len(opened) - closed, held, links, networks


def test_every_form_of_p(engine: Engine, wire: Wire) -> None:
    ports = run(
        engine, "--network", "six",
        "-p", "80", "-p", "8001:80", "-p", "127.0.0.1:8002:80", "-p", "127.0.0.1::81", "-p", "[::1]:8003:80",
        "-p", "8010-8012:90-92", "-p", "8020-8030:93", "-p", "53:53/udp", "-p", "8004:80/tcp", "-p", "94-95",
    )  # fmt: skip
    assert {8001, 8004} <= set(numbers(ports, "80/tcp"))
    assert numbers(ports, "80/tcp", "127.0.0.1") == [8002]
    assert numbers(ports, "80/tcp", "::1") == [8003]
    assert {8001, 8004} <= set(numbers(ports, "80/tcp", "::"))
    assert numbers(ports, "81/tcp", "127.0.0.1")[0] > 1023
    assert [numbers(ports, f"{port}/tcp") for port in (90, 91, 92)] == [[8010], [8011], [8012]]
    assert numbers(ports, "93/tcp") == [8020]
    assert numbers(ports, "53/udp") == [53]
    assert all(numbers(ports, f"{port}/tcp")[0] > 1023 for port in (94, 95))
    within(5, lambda: wire.fetch("127.0.0.1", 8001, at=0) == "hello")
    for address, port in (("127.0.0.1", 8002), ("::1", 8003), ("127.0.0.1", 8004), ("::1", 8001)):
        assert wire.fetch(address, port, at=0) == "hello", (address, port)
    second = run(engine, "-p", "8020-8030:93", name="second")
    assert numbers(second, "93/tcp") == [8021]


def test_publish_all_takes_what_the_image_and_expose_say(engine: Engine) -> None:
    ports = run(engine, "-P", "--expose", "7000-7002", "--expose", "7003/udp", "-p", "9999:7001")
    assert numbers(ports, "7001/tcp") == [9999]
    assert all(numbers(ports, key)[0] > 1023 for key in ("7000/tcp", "7002/tcp", "7003/udp"))
    engine.docker("restart", "-t", "0", "web")
    again = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Ports"]
    assert numbers(again, "7001/tcp") == [9999]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_busy_port_leaves_nothing_of_those_before_it(engine: Engine, wire: Wire, protocol: str) -> None:
    run(engine, "-p", f"8101:81/{protocol}", name="owner")
    before = state(engine, wire)
    flags = ["-p", f"8100:80/{protocol}", "-p", f"8101:81/{protocol}", "-p", f"8102:82/{protocol}"]
    assert "Bind for 0.0.0.0:8101 failed: port is already allocated" in refused(engine, *flags)
    within(5, lambda: state(engine, wire) == before)
    said = refused(engine, "-p", f"8101-8101:80/{protocol}")
    assert "port is already allocated" in said
    with socket_of_host(wire, protocol, 8105):
        said = refused(engine, "-p", f"8104:80/{protocol}", "-p", f"8105:81/{protocol}")
        assert "failed to bind host port for 0.0.0.0:8105" in said
        assert "address already in use" in said
    within(5, lambda: state(engine, wire) == before)
    engine.docker("rm", "-f", "owner")
    run(engine, *flags)


def socket_of_host(wire: Wire, protocol: str, port: int) -> socket.socket:
    """Another program of the host that has the port."""
    with inside(wire.host_pid):
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        found = socket.socket(type=kind)
        found.bind(("0.0.0.0", port))
        if protocol == "tcp":
            found.listen()
        return found


NO_PORTS = ["0:80", "65536:80", "80:65536", "80:0", "-1:80", "9-8:80", "1-2:80-82", "80/icmp"]


@pytest.mark.parametrize("spec", NO_PORTS)
def test_numbers_that_are_no_ports(engine: Engine, spec: str) -> None:
    done = engine.run("docker", "create", "-p", spec, BUSYBOX, check=False)
    if spec == "0:80":  # any port, to docker's client
        assert done.returncode == 0
    else:
        assert done.returncode
        assert "invalid" in done.stderr.lower()


@pytest.mark.parametrize("binding", ["0x50", "99999", "1-", "-", "8-7", "\uff18\uff10"])
def test_numbers_that_are_no_ports_by_the_api(engine: Engine, binding: str) -> None:
    body = {"Image": BUSYBOX, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": binding}]}}}
    status, text = engine.request("POST", "/containers/create", body)
    assert status == 400, text
    assert "invalid port specification" in text.decode()


def test_a_port_moves_from_container_to_container_at_once(engine: Engine, wire: Wire) -> None:
    """Closing and opening the same key again and again: what is shut is swept before it is opened."""
    for number in range(5):
        run(engine, "-p", "8200:80", name=f"web{number}")
        within(5, lambda: wire.fetch("127.0.0.1", 8200, at=0) == "hello")
        engine.docker("rm", "-f", f"web{number}")
        assert wire.fetch("127.0.0.1", 8200, at=0) == ""


def test_a_port_of_a_stopped_container_is_free_for_others(engine: Engine, wire: Wire) -> None:
    run(engine, "-p", "8300:80", name="first")
    engine.docker("stop", "-t", "0", "first")
    run(engine, "-p", "8300:80", name="second")
    done = engine.run("docker", "start", "first", check=False)
    assert "Bind for 0.0.0.0:8300 failed: port is already allocated" in done.stderr
    within(5, lambda: wire.fetch("127.0.0.1", 8300, at=0) == "hello")


def test_subnets_avoid_the_hosts_routes_also_those_of_a_vpn(engine: Engine, wire: Wire) -> None:
    wire.on_host("ip", "route", "add", "172.20.0.0/16", "dev", "wire0")
    wire.on_host("ip", "route", "add", "172.21.8.0/24", "dev", "wire0", "table", "51820")  # as wg-quick does
    try:
        taken = []
        for number in range(5):
            engine.docker("network", "create", f"pool{number}")
            taken.append(engine.api("GET", f"/networks/pool{number}")["IPAM"]["Config"][0]["Subnet"])
        assert not {"172.20.0.0/16", "172.21.0.0/16"} & set(taken)
        assert len(set(taken)) == 5
    finally:
        wire.on_host("ip", "route", "flush", "table", "51820")
        wire.on_host("ip", "route", "del", "172.20.0.0/16")
        engine.docker("network", "rm", *(f"pool{number}" for number in range(5)))


def test_the_own_port_is_reached_after_the_bridge_was_deleted(engine: Engine, wire: Wire) -> None:
    """Also where bridged frames go past the filter: the port of the new bridge turns them back."""
    run(engine, "-p", "8400:80")
    within(5, lambda: wire.fetch("127.0.0.1", 8400, at=0) == "hello")
    bridge = f"og{engines.own_suffix(engine)}"
    wire.on_host("ip", "link", "del", bridge)
    within(5, lambda: wire.fetch("127.0.0.1", 8400, at=0, timeout=1) == "hello")
    port = next(line for line in wire.on_host("ip", "-o", "link").splitlines() if f"master {bridge}" in line)
    name = port.split(": ")[1].partition("@")[0]
    assert "hairpin on" in wire.on_host("ip", "-d", "link", "show", name)
    path = "/events?since=1&filters=%7B%22event%22%3A%5B%22mend%22%5D%7D&until="
    within(5, lambda: bridge in engine.request("GET", f"{path}{time.time()}")[1].decode())


def test_an_update_of_ports_is_whole_or_nothing(engine: Engine, wire: Wire) -> None:
    run(engine, "-p", "8500:80")
    run(engine, "-p", "8501:80", name="owner")
    within(5, lambda: wire.fetch("127.0.0.1", 8500, at=0) == "hello")
    before = state(engine, wire)
    words = ["--publish-rm", "8500:80", "--publish-add", "8502:80", "--publish-add", "8501:80"]
    done = engine.run("onggi", "update", *words, "web", check=False)
    assert "Bind for 0.0.0.0:8501 failed: port is already allocated" in done.stderr
    assert wire.fetch("127.0.0.1", 8500, at=0) == "hello"
    assert wire.fetch("127.0.0.1", 8502, at=0) == ""
    within(5, lambda: state(engine, wire) == before)
    assert engine.docker("port", "web").splitlines() == ["80/tcp -> 0.0.0.0:8500", "80/tcp -> [::]:8500"]
    # A port moves to another place of the same container, and back, in one update each.
    engine.onggi("update", "--publish-rm", "8500:80", "--publish-add", "127.0.0.1:8500:80", "web")
    assert engine.docker("port", "web").strip() == "80/tcp -> 127.0.0.1:8500"
    assert wire.fetch("127.0.0.1", 8500, at=0) == "hello"
    engine.onggi("update", "--publish-rm", "8500:80", "--publish-add", "8503:80", "web")
    engine.docker("stop", "-t", "0", "web")
    engine.onggi("update", "--publish-add", "8504:80/tcp", "web")
    assert engine.docker("port", "web").strip() == ""
    engine.docker("start", "web")
    assert {line.split(":")[-1] for line in engine.docker("port", "web").splitlines()} == {"8503", "8504"}
    for spec in ("0:80", "8505:0", "8505:80/icmp", "70000:80"):
        done = engine.run("onggi", "update", "--publish-add", spec, "web", check=False)
        assert spec == "0:80" or done.returncode, spec


def test_a_disconnect_whose_ports_cannot_move_is_finished(engine: Engine, wire: Wire) -> None:
    engine.docker("network", "create", "left")
    engine.docker("network", "create", "zz")
    run(engine, "--network", "left", "-p", "8600:80")
    engine.docker("network", "connect", "zz", "web")
    engine.stop()
    engine.start(failpoint="network.reserved=raise-once")
    engine.docker("network", "disconnect", "left", "web")
    found = engine.api("GET", "/containers/web/json")["NetworkSettings"]
    assert list(found["Networks"]) == ["zz"]
    assert engine.docker("port", "web").strip() == ""
    assert "its ports cannot move to another network" in engine.log
    run(engine, "-p", "8600:80", name="second")
    engine.docker("restart", "-t", "0", "second")
    engine.stop()
    engine.start()
    engine.remove_all()
    engine.docker("network", "rm", "left", "zz")

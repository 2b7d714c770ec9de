"""Names inside containers: the resolver process as containers meet it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine
from tests.wires import inside, within

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("names")) as found:
        engines.import_busybox(found)
        yield found
        found.remove_all()
        found.docker("network", "prune", "-f")
        found.stop()
        assert engines.leftovers(found) == []


@pytest.fixture
def net(engine: Engine) -> Iterator[str]:
    engine.docker("network", "create", "names")
    run(engine, "client")
    yield "names"
    engine.remove_all()
    engine.docker("network", "prune", "-f")


def run(engine: Engine, name: str, *flags: str) -> None:
    engine.docker("run", "-d", "--name", name, "--network", "names", *flags, BUSYBOX, "sleep", "1000")


def look_up(engine: Engine, name: str) -> str:
    """The addresses that the client finds, as text; empty where there is none."""
    done = engine.run("docker", "exec", "client", "nslookup", name, check=False)
    return done.stdout.partition("\n\n")[2]


def address(engine: Engine, name: str) -> str:
    found = engine.api("GET", f"/containers/{name}/json")["NetworkSettings"]["Networks"]["names"]
    return str(found["IPAddress"])


def test_name_alias_short_id_host_name_and_the_way_back(engine: Engine, net: str) -> None:
    run(engine, "web", "--network-alias", "www", "--hostname", "box")
    short = engine.docker("ps", "-q", "--filter", "name=web").strip()
    for name in ("web", "WWW", "box", short, "web.names"):
        assert address(engine, "web") in look_up(engine, name), name
    assert "web.names" in look_up(engine, address(engine, "web"))
    engine.docker("rename", "web", "renamed")
    assert address(engine, "renamed") in look_up(engine, "renamed")
    engine.docker("rm", "-f", "renamed")
    within(1, lambda: "Address" not in look_up(engine, "www"))


def test_connect_gives_a_name_and_disconnect_takes_it(engine: Engine, net: str) -> None:
    engine.docker("run", "-d", "--name", "late", BUSYBOX, "sleep", "1000")
    assert "127.0.0.11" not in engine.docker("exec", "late", "cat", "/etc/resolv.conf")
    engine.docker("network", "connect", "--alias", "tardy", net, "late")
    assert address(engine, "late") in look_up(engine, "tardy")
    assert "127.0.0.11" in engine.docker("exec", "late", "cat", "/etc/resolv.conf")
    assert address(engine, "client") in engine.docker("exec", "late", "nslookup", "client")
    engine.docker("network", "disconnect", net, "late")
    assert "Address" not in look_up(engine, "late")


def test_a_shared_alias_has_every_address(engine: Engine, net: str) -> None:
    for number in range(3):
        run(engine, f"one{number}", "--network-alias", "all")
    found = look_up(engine, "all")
    assert all(address(engine, f"one{number}") in found for number in range(3))


def test_a_name_server_inside_may_have_port_53_of_every_address(engine: Engine, net: str) -> None:
    pid = engine.api("GET", "/containers/client/json")["State"]["Pid"]
    with inside(pid):
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        with udp, tcp:
            udp.bind(("0.0.0.0", 53))
            tcp.bind(("0.0.0.0", 53))
            tcp.listen()
            assert address(engine, "client") in look_up(engine, "client")


def test_names_work_while_there_is_no_engine_and_after_it(engine: Engine, net: str) -> None:
    run(engine, "web")
    wanted = address(engine, "web")
    pid = engine.api("GET", "/containers/client/json")["State"]["Pid"]
    engine.kill()
    inside = engines.subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "-m", "nslookup", "web"], capture_output=True, text=True
    )
    assert wanted in inside.stdout, inside
    engine.start()
    assert wanted in look_up(engine, "web")
    run(engine, "second")
    assert address(engine, "second") in look_up(engine, "second")


def test_a_resolver_that_dies_is_started_again_within_five_seconds(engine: Engine, net: str) -> None:
    run(engine, "web")
    os.kill(engines.process_of(engine, "network.resolver.process"), signal.SIGKILL)
    within(5, lambda: address(engine, "web") in look_up(engine, "web"))


def test_an_internal_network_asks_nobody_outside(engine: Engine, net: str) -> None:
    engine.docker("network", "create", "--internal", "inner")
    command = ["run", "--rm", "--network", "inner", BUSYBOX, "nslookup", "deb.debian.org"]
    done = engine.run("docker", *command, check=False)
    assert "SERVFAIL" in done.stdout + done.stderr
    assert done.returncode


def test_the_default_bridge_links_by_hosts_file(engine: Engine, net: str) -> None:
    engine.docker("run", "-d", "--name", "linked", BUSYBOX, "sleep", "1000")
    text = engine.docker(
        "run", "--rm", "--link", "linked:alias", "--add-host", "up:host-gateway", BUSYBOX, "cat", "/etc/hosts"
    )
    settings = engine.api("GET", "/containers/linked/json")["NetworkSettings"]["Networks"]["bridge"]
    assert f"{settings['IPAddress']}\talias" in text
    assert f"{settings['Gateway']}\tup" in text

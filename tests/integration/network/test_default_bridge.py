"""The daemon's keys for the default bridge and for forwarding, on a host that is a network namespace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine
from tests.published import serve
from tests.wires import CLIENT, HOST, Wire, within

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    found = Wire()
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, wire: Wire) -> Iterator[Engine]:
    tmp = tmp_path_factory.mktemp("keys")
    root, exec_root = tmp / "onggi-root", tmp / "onggi-run"
    command = ["nsenter", "-t", str(wire.host_pid), "-n", str(engines.ONGGI), "daemon"]
    command += ["--data-root", str(root), "--exec-root", str(exec_root)]
    found = Engine("onggi", root, exec_root, [*command, "-H", f"unix://{exec_root}/engine.sock"])
    with engines.running(found):
        yield found


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    yield
    if engine.process is not None:
        engine.remove_all()


def started(engine: Engine, *flags: str) -> None:
    """The engine again, with these flags."""
    if engine.process is not None:
        engine.stop()
    plain = list(engine.command)
    engine.command.extend(flags)
    try:
        engine.start()
    finally:
        engine.command[:] = plain


def run(engine: Engine, *args: str) -> str:
    return engine.docker("run", "--rm", BUSYBOX, *args)


def default(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = engine.api("GET", "/networks/bridge")
    return found


def test_addresses_gateway_and_mtu(engine: Engine) -> None:
    flags = ["--bip", "10.55.0.1/16", "--fixed-cidr", "10.55.9.0/29", "--default-gateway", "10.55.0.9"]
    started(engine, *flags, "--mtu", "1400")
    said = run(engine, "sh", "-c", "ip addr show eth0; ip route")
    assert "inet 10.55.9." in said and "mtu 1400" in said and "default via 10.55.0.9" in said
    ipam = default(engine)["IPAM"]["Config"]
    assert ipam == [
        {
            "Subnet": "10.55.0.0/16",
            "IPRange": "10.55.9.0/29",
            "Gateway": "10.55.0.1",
            "AuxiliaryAddresses": {"DefaultGatewayIPv4": "10.55.0.9"},
        }
    ]


def test_the_row_follows_the_configuration_when_it_changes(engine: Engine, wire: Wire) -> None:
    started(engine, "--bip", "10.56.0.1/24")
    assert "inet 10.56.0." in run(engine, "ip", "addr", "show", "eth0")
    started(engine, "--bip", "10.57.0.1/24")
    assert "inet 10.57.0." in run(engine, "ip", "addr", "show", "eth0")
    name = default(engine)["Options"]["com.docker.network.bridge.name"]
    assert "10.56." not in wire.on_host("ip", "addr", "show", name)
    started(engine)
    assert "inet 10.57.0." in run(engine, "ip", "addr", "show", "eth0")


def test_ipv6_of_the_default_bridge(engine: Engine) -> None:
    started(engine, "--ipv6")
    assert "inet6 fd" in run(engine, "ip", "addr", "show", "eth0")
    started(engine, "--ipv6", "--bip6", "fd00:55::1/64", "--fixed-cidr-v6", "fd00:55::40/122")
    assert "inet6 fd00:55::4" in run(engine, "ip", "addr", "show", "eth0")
    assert default(engine)["EnableIPv6"] is True
    started(engine)
    assert "inet6" not in run(engine, "ip", "addr", "show", "eth0")


def test_masquerade_neighbours_and_the_publishing_address(engine: Engine, wire: Wire) -> None:
    started(engine, "--ip-masq=false", "--icc=false", "--ip", HOST)
    serve(engine, "-p", "8080:80")
    address = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert engine.docker("port", "web").strip() == f"80/tcp -> {HOST}:8080"
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    blocked = engine.run("docker", "run", "--rm", BUSYBOX, "ping", "-c", "1", "-W", "2", address, check=False)
    assert blocked.returncode == 1
    table = wire.on_host("nft", "list", "ruleset")
    assert "oifname !=" not in table.partition("postrouting")[2]
    assert default(engine)["Options"]["com.docker.network.bridge.enable_icc"] == "false"


def test_the_users_own_bridge_gives_the_subnet(engine: Engine, wire: Wire) -> None:
    wire.on_host("ip", "link", "add", "mine0", "type", "bridge")
    wire.on_host("ip", "addr", "add", "10.58.0.1/24", "dev", "mine0")
    started(engine, "--bridge", "mine0")
    assert "inet 10.58.0." in run(engine, "ip", "addr", "show", "eth0")
    engine.stop()
    assert "10.58.0.1/24" in wire.on_host("ip", "addr", "show", "mine0")
    wire.on_host("ip", "link", "del", "mine0")
    started(engine, "--bridge", "mine0")
    done = engine.run("docker", "run", "--rm", BUSYBOX, "true", check=False)
    assert "bridge device with non default name mine0 must be created manually" in done.stderr
    started(engine)


def test_options_of_new_networks_come_from_the_configuration(engine: Engine) -> None:
    started(engine, "--default-network-opt", "bridge=com.docker.network.driver.mtu=1234")
    engine.docker("network", "create", "opted")
    assert "mtu 1234" in engine.docker(
        "run", "--rm", "--network", "opted", BUSYBOX, "ip", "link", "show", "eth0"
    )
    engine.docker("network", "rm", "opted")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--bridge", "x0", "--bip", "10.0.0.1/8"), "mutually exclusive"),
        (("--icc=false", "--iptables=false"), "ICC=false uses iptables to function"),
        (("--bip", "10.0.0.1"), "invalid CIDR address for bip: 10.0.0.1"),
        (("--ip", "fe80::x"), "invalid IP address for ip: fe80::x"),
        (("--default-address-pool", "base=10.0.0.0/8"), 'invalid argument "base=10.0.0.0/8"'),
        (("--mtu", "70000"), "invalid default MTU: 70000"),
    ],
)
def test_what_contradicts_itself_is_refused_at_the_start(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    at = ["--data-root", str(tmp_path / "root"), "--exec-root", str(tmp_path / "run")]
    found = Engine("onggi", tmp_path / "root", tmp_path / "run", [str(engines.ONGGI), "daemon", *at, *flags])
    with pytest.raises(RuntimeError, match=words):
        found.start()


def test_a_host_that_the_engine_made_a_router_is_none_for_others(engine: Engine, wire: Wire) -> None:
    """What did not pass between the host's links before does not afterwards; --ip-forward-no-drop lets it."""
    engine.stop()
    wire.on_host("sysctl", "-qw", "net.ipv4.ip_forward=0")
    wire.on_host("ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
    wire.on_host("ip", "addr", "add", "203.0.113.1/24", "dev", "other0")
    for end in ("other0", "other1"):
        wire.on_host("ip", "link", "set", end, "up")
    passed = "nft", "list", "chain", "ip", "watch", "out"
    wire.on_host("nft", "add table ip watch")
    wire.on_host("nft", "add chain ip watch out { type filter hook postrouting priority 300 ; }")
    wire.on_host("nft", "add rule ip watch out ip daddr 203.0.113.9 counter")
    for flags, count in (((), "packets 0"), (("--ip-forward-no-drop",), "packets 1")):
        started(engine, *flags)
        assert run(engine, "ping", "-c", "1", "-W", "10", CLIENT)
        send(wire)
        within(5, lambda count=count: count in wire.on_host(*passed))  # type: ignore[misc]
    assert wire.on_host("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"


def send(wire: Wire) -> None:
    """The client sends one packet to a net behind the host."""
    enter = ["nsenter", "-t", str(wire.holders[1].pid), "-n"]
    subprocess.run([*enter, "ip", "route", "replace", "203.0.113.0/24", "via", HOST], check=True)
    program = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('203.0.113.9', 9))"
    subprocess.run([*enter, sys.executable, "-c", program], check=True)


def test_endpoint_options_name_the_interface_and_set_its_sysctls(engine: Engine) -> None:
    options = (
        "name=bridge,driver-opt=com.docker.network.endpoint.ifname=lan7,"
        '"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1",'
        "link-local-ip=169.254.7.7"
    )
    said = engine.docker(
        "run", "--rm", "--network", options, BUSYBOX, "sh", "-c",
        "ip addr show lan7; cat /proc/sys/net/ipv4/conf/lan7/log_martians",
    )  # fmt: skip
    assert "inet 169.254.7.7/16" in said and said.endswith("\n1\n")
    refused = engine.run(
        "docker", "run", "--rm", "--network",
        "name=bridge,driver-opt=com.docker.network.endpoint.sysctls=kernel.x=1", BUSYBOX, "true", check=False,
    )  # fmt: skip
    assert "unable to set network sysctl kernel.x=1" in refused.stderr

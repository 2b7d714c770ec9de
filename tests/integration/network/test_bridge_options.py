"""Docker's driver options of bridge networks: what they say of links, addresses, and who reaches whom."""

from __future__ import annotations

import socket
import subprocess
import threading

import pytest

from tests.engines import BUSYBOX, Engine
from tests.published import serve
from tests.wires import CLIENT, HOST, Wire, inside, within

pytestmark = pytest.mark.root
OPTION = "com.docker.network."
SUBNET, ADDRESS = "10.213.5.0/24", "10.213.5.9"


def create(engine: Engine, name: str, *words: str, **options: str) -> None:
    flags = [
        flag for key, value in options.items() for flag in ("-o", f"{OPTION}{key.replace('__', '.')}={value}")
    ]
    engine.docker("network", "create", *words, *flags, name)


def on_client(wire: Wire, *words: str) -> None:
    subprocess.run(["nsenter", "-t", str(wire.holders[1].pid), "-n", *words], check=True)


def of_bridge(engine: Engine, wire: Wire, name: str, family: str = "-4") -> str:
    """The addresses that the network's bridge has."""
    link = f"br-{engine.api('GET', f'/networks/{name}')['Id'][:12]}"
    return wire.on_host("ip", family, "-o", "addr", "show", "dev", link, "scope", "global")


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["dockerd", "onggi"])
def test_names_of_interfaces(kind: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(kind)
    for name in ("first", "second", "plain"):
        prefix = [] if name == "plain" else ["-o", f"{OPTION}container_iface_prefix=net"]
        engine.docker("network", "create", *prefix, name)
    try:
        engine.docker("run", "-d", "--name", "box", "--network", "first", "--init", BUSYBOX, "sleep", "1000")
        for name in ("second", "plain"):
            engine.docker("network", "connect", name, "box")
        names = engine.docker("exec", "box", "sh", "-c", "ls /sys/class/net").split()
        assert {"net0", "net1", "eth0"} <= set(names)
    finally:
        engine.remove_all()
        engine.docker("network", "rm", "first", "second", "plain")


def test_an_asked_for_name_is_nobody_elses(engine: Engine) -> None:
    for name in ("a", "b"):
        engine.docker("network", "create", name)
    asked = f"name=a,driver-opt={OPTION}endpoint.ifname=eth1"
    words = ["--network", asked, "--network", "b", BUSYBOX, "ls", "/sys/class/net"]
    assert {"eth0", "eth1"} <= set(engine.docker("run", "--rm", *words).split())


def test_no_address_of_the_bridge(engine: Engine, wire: Wire) -> None:
    create(engine, "bare", "--subnet", SUBNET, bridge__inhibit_ipv4="true")
    serve(engine, "--network", "bare")
    assert of_bridge(engine, wire, "bare") == ""
    assert "default via 10.213.5.1 dev eth0" in engine.docker("exec", "web", "ip", "route")


def test_the_address_with_which_containers_leave(engine: Engine, wire: Wire) -> None:
    wire.on_host("ip", "addr", "add", "198.51.100.9/24", "dev", "wire0")
    create(engine, "as-nine", host_ipv4="198.51.100.9")
    with inside(wire.holders[1].pid), socket.create_server((CLIENT, 9000)) as listener:
        listener.settimeout(30)
        words = ["run", "--rm", "--network", "as-nine", BUSYBOX, "sh", "-c", f"echo | nc -w 30 {CLIENT} 9000"]
        asking = threading.Thread(target=lambda: engine.docker(*words))
        asking.start()
        peer, (address, _) = listener.accept()
        peer.close()
        asking.join()
    assert address == "198.51.100.9"


@pytest.mark.parametrize(
    ("option", "value"),
    [("bridge__gateway_mode_ipv4", "nat-unprotected"), ("bridge__trusted_host_interfaces", "lo:wire0")],
)
def test_ports_that_are_not_published(engine: Engine, wire: Wire, option: str, value: str) -> None:
    """Reached by the container's address from where the option says, and from no other network of ours."""
    on_client(wire, "ip", "route", "add", "10.213.0.0/16", "via", HOST)
    create(engine, "open", "--subnet", SUBNET, **{option: value})
    create(engine, "closed", "--subnet", "10.213.6.0/24")
    serve(engine, "--network", "open", "--ip", ADDRESS)
    serve(engine, "--network", "closed", "--ip", "10.213.6.9", name="hidden")
    within(5, lambda: wire.fetch(ADDRESS, 80) == "hello")
    assert wire.fetch("10.213.6.9", 80, timeout=1) == ""
    page = ["wget", "-q", "-T", "1", "-O", "-", f"http://{ADDRESS}/"]
    assert engine.run("docker", "exec", "hidden", *page, check=False).returncode
    outwards = ["exec", "web", "ping", "-c1", "-W10", CLIENT]
    engine.docker(*outwards)


def test_an_isolated_network_has_no_host(engine: Engine, wire: Wire) -> None:
    six = {"bridge__gateway_mode_ipv6": "isolated"}
    create(
        engine,
        "alone",
        "--internal",
        "--ipv6",
        "--subnet",
        SUBNET,
        bridge__gateway_mode_ipv4="isolated",
        **six,
    )
    serve(engine, "--network", "alone", "--ip", ADDRESS)
    assert of_bridge(engine, wire, "alone") == of_bridge(engine, wire, "alone", "-6") == ""
    other = ("run", "--rm", "--network", "alone", BUSYBOX)
    assert engine.docker(*other, "wget", "-q", "-O", "-", "http://web/").strip() == "hello"
    assert engine.run("docker", *other, "ping", "-c1", "-W1", "10.213.5.1", check=False).returncode


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("bridge.gateway_mode_ipv4", "isolated", "'isolated' can only be used for an internal network"),
        ("bridge.gateway_mode_ipv6", "routed", "gateway mode routed ({}) is not known to this engine"),
        ("bridge.gateway_mode_ipv4", "free", "unknown gateway mode free"),
        ("bridge.inhibit_ipv4", "perhaps", 'invalid value "perhaps" for option {}'),
        ("bridge.trusted_host_interfaces", "a b", "invalid value 'a b' for option {}"),
        ("container_iface_prefix", "/x", "invalid value '/x' for option {}"),
        ("host_ipv4", "fd00::1", "invalid {} fd00::1: invalid address"),
        ("driver.mtu", "10", "invalid MTU number: 10"),
    ],
)
def test_values_that_are_refused(onggi: Engine, option: str, value: str, why: str) -> None:
    key = f"{OPTION}{option}"
    done = onggi.run("docker", "network", "create", "-o", f"{key}={value}", "never", check=False)
    assert done.returncode == 1 and why.format(key) in done.stderr

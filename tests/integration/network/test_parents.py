"""Networks on a link of the host: ipvlan, and the VLANs (802.1q) that macvlan and ipvlan make as parents.

Few kernels of containers have ipvlan or 802.1q: scripts/test-v2 boots one that has both.
"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine
from tests.published import SERVE
from tests.wires import CLIENT, Wire, within

pytestmark = pytest.mark.root


def need(wire: Wire, kind: str) -> None:
    """Skip where the kernel has no links of that kind."""
    options = {"vlan": ["id", "9"], "ipvlan": ["mode", "l2"]}.get(kind, [])
    of = [] if kind == "dummy" else ["link", "wire0"]
    command = ["nsenter", "-t", str(wire.host_pid), "-n", "ip", "link", "add", *of, "name", "probe0"]
    done = subprocess.run([*command, "type", kind, *options], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs a kernel with {kind} links: {done.stderr.strip()}")
    wire.on_host("ip", "link", "del", "probe0")


def on_client(wire: Wire, *command: str) -> str:
    enter = ["nsenter", "-t", str(wire.holders[1].pid), "-n"]
    done = subprocess.run([*enter, *command], capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def create(engine: Engine, name: str, driver: str, *options: str, subnet: str = "198.51.100") -> None:
    engine.docker(
        "network", "create", "-d", driver, "--subnet", f"{subnet}.0/24", "--gateway", f"{subnet}.2",
        "--ip-range", f"{subnet}.128/25", *options, name,
    )  # fmt: skip


def serve(engine: Engine, network: str, *flags: str) -> dict[str, Any]:
    engine.docker("run", "-d", "--name", "web", "--network", network, *flags, BUSYBOX, "sh", "-c", SERVE)
    found: dict[str, Any] = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"][network]
    return found


def refused(engine: Engine, *args: str) -> str:
    done = engine.run("docker", *args, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def mac(wire: Wire) -> str:
    return wire.on_host("ip", "-o", "link", "show", "wire0").partition("link/ether ")[2].split()[0]


def links(wire: Wire) -> set[str]:
    lines = wire.on_host("ip", "-o", "link").splitlines()
    return {line.split(": ")[1].partition("@")[0] for line in lines}


def test_ipvlan_l2_shares_the_parents_mac_and_its_network(engine: Engine, wire: Wire) -> None:
    need(wire, "ipvlan")
    create(engine, "shared", "ipvlan", "-o", "parent=wire0", "-o", "ipvlan_mode=l2")
    found = serve(engine, "shared")
    assert (found["MacAddress"], found["Gateway"]) == ("", CLIENT)
    within(20, lambda: wire.fetch(found["IPAddress"], 80) == "hello")
    parent = mac(wire)
    assert parent in engine.docker("exec", "web", "ip", "link", "show", "eth0")
    assert f"default via {CLIENT}" in engine.docker("exec", "web", "ip", "route")
    neighbours = on_client(wire, "ip", "neigh", "show", found["IPAddress"])
    assert parent in neighbours
    engine.docker("run", "-d", "--name", "other", "--network", "none", BUSYBOX, "sleep", "1000")
    engine.docker("rm", "-f", "other")
    engine.docker("run", "-d", "--name", "other", BUSYBOX, "sleep", "1000")
    engine.docker("network", "connect", "shared", "other")
    assert "eth1" in engine.docker("exec", "other", "ip", "link")
    engine.docker("network", "disconnect", "shared", "other")
    assert "eth1" not in engine.docker("exec", "other", "ip", "link")
    options = engine.api("GET", "/networks/shared")
    assert options["Driver"] == "ipvlan"
    assert options["Options"] == {"parent": "wire0", "ipvlan_mode": "l2"}


@pytest.mark.parametrize("mode", ["l3", "l3s"])
def test_ipvlan_l3_routes_without_a_gateway(engine: Engine, wire: Wire, mode: str) -> None:
    need(wire, "ipvlan")
    create(engine, "routed", "ipvlan", "-o", "parent=wire0", "-o", f"ipvlan_mode={mode}", subnet="10.77.1")
    found = serve(engine, "routed")
    assert (found["MacAddress"], found["Gateway"]) == ("", "")
    route = engine.docker("exec", "web", "ip", "route")
    assert "default dev eth0" in route
    assert "via" not in route
    # A router of the wire knows the way to the parent; l3 answers to whoever it knows of.
    on_client(wire, "ip", "route", "replace", "10.77.1.0/24", "dev", "wire1")
    on_client(wire, "ip", "neigh", "replace", found["IPAddress"], "lladdr",
              mac(wire), "dev", "wire1")  # fmt: skip
    within(20, lambda: wire.fetch(found["IPAddress"], 80) == "hello")


def test_ipvlan_flags_and_engine_restart(engine: Engine, wire: Wire) -> None:
    """private: containers of one parent do not see each other; it holds over a restart of the engine."""
    need(wire, "ipvlan")
    create(engine, "apart", "ipvlan", "-o", "parent=wire0", "-o", "ipvlan_flag=private")
    found = serve(engine, "apart")
    engine.kill()
    engine.start()
    within(20, lambda: wire.fetch(found["IPAddress"], 80) == "hello")
    fetch = f"echo | timeout 3 nc -w 2 {found['IPAddress']} 80"
    done = engine.run("docker", "run", "--rm", "--network", "apart", BUSYBOX, "sh", "-c", fetch, check=False)
    assert "HTTP" not in done.stdout
    assert engine.docker("network", "inspect", "-f", "{{len .Containers}}", "apart").strip() == "1"


def test_ipvlan_what_is_refused(engine: Engine, wire: Wire) -> None:
    said = refused(engine, "network", "create", "-d", "ipvlan", "-o", "ipvlan_mode=l4", "bad")
    assert "requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default" in said
    said = refused(engine, "network", "create", "-d", "ipvlan", "-o", "ipvlan_flag=odd", "bad")
    assert "requested ipvlan flag 'odd' is not valid, 'bridge' is the ipvlan driver default" in said
    said = refused(engine, "network", "create", "-d", "macvlan", "-o", "macvlan_mode=odd", "bad")
    assert "requested macvlan mode 'odd' is not valid, 'bridge' mode is the macvlan driver default" in said
    said = refused(engine, "network", "create", "-d", "ipvlan", "-o", "parent=lo", "bad")
    assert "loopback interface is not a valid ipvlan parent link" in said
    create(engine, "first", "ipvlan", "-o", "parent=wire0")
    for driver in ("ipvlan", "macvlan"):
        said = refused(
            engine, "network", "create", "-d", driver, "--subnet", "10.9.0.0/24", "-o", "parent=wire0", "bad"
        )
        assert "network first is already using parent interface wire0" in said
    mac = ["--mac-address", "02:00:00:00:00:07"]
    said = refused(engine, "run", "--rm", "--network", "first", *mac, BUSYBOX, "true")
    assert "ipvlan interfaces do not support custom mac address assignment" in said
    names = engine.docker("network", "ls", "--format", "{{.Name}}").split()
    assert "bad" not in names


def test_a_kernel_without_ipvlan_says_so(engine: Engine, wire: Wire) -> None:
    create(engine, "first", "ipvlan", "-o", "parent=wire0")
    done = engine.run("docker", "run", "--rm", "--network", "first", BUSYBOX, "true", check=False)
    if done.returncode == 0:
        pytest.skip("needs a kernel without ipvlan links")
    assert "failed to create the ipvlan port" in done.stderr
    assert "not supported" in done.stderr


@pytest.mark.parametrize("driver", ["ipvlan", "macvlan"])
def test_without_a_parent_it_is_internal_on_a_dummy_of_its_own(
    engine: Engine, wire: Wire, driver: str
) -> None:
    for kind in ("dummy", driver):
        need(wire, kind)
    before = links(wire)
    engine.docker("network", "create", "-d", driver, "alone")
    assert len(links(wire) - before) == 1
    found = serve(engine, "alone")
    assert found["Gateway"] == ""
    page = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {found['IPAddress']} 80"
    served = f"for i in $(seq 100); do {page} | grep hello && break; sleep 0.1; done"
    got = engine.docker("run", "--rm", "--network", "alone", BUSYBOX, "sh", "-c", served)
    assert "hello" in got
    assert "default" not in engine.docker("exec", "web", "ip", "route")
    engine.remove_all()
    engine.docker("network", "rm", "alone")
    assert links(wire) == before


def test_a_vlan_is_made_owned_and_removed_with_its_last_network(engine: Engine, wire: Wire) -> None:
    need(wire, "vlan")
    on_client(wire, "ip", "link", "add", "link", "wire1", "name", "wire1.50", "type", "vlan", "id", "50")
    on_client(wire, "ip", "addr", "add", "10.50.0.2/24", "dev", "wire1.50")
    on_client(wire, "ip", "link", "set", "wire1.50", "up")
    create(engine, "tagged", "macvlan", "-o", "parent=wire0.50", subnet="10.50.0")
    shown = wire.on_host("ip", "-d", "link", "show", "wire0.50")
    assert "802.1Q id 50" in shown
    assert f"alias onggi_{engines.own_suffix(engine)}" in shown
    found = serve(engine, "tagged")
    within(20, lambda: wire.fetch(found["IPAddress"], 80) == "hello")
    engine.docker(
        "network", "create", "-d", "macvlan", "--subnet", "10.51.0.0/24", "-o", "parent=wire0.50", "too"
    )
    engine.remove_all()
    engine.docker("network", "rm", "tagged")
    assert "wire0.50" in links(wire)
    engine.docker("network", "rm", "too")
    assert "wire0.50" not in links(wire)


def test_a_vlan_of_the_users_is_left_and_one_of_a_lost_network_goes(engine: Engine, wire: Wire) -> None:
    need(wire, "vlan")
    wire.on_host("ip", "link", "add", "link", "wire0", "name", "wire0.60", "type", "vlan", "id", "60")
    create(engine, "theirs", "macvlan", "-o", "parent=wire0.60", subnet="10.60.0")
    engine.docker("network", "rm", "theirs")
    assert "wire0.60" in links(wire)
    engine.kill()
    wire.on_host("ip", "link", "add", "link", "wire0", "name", "wire0.61", "type", "vlan", "id", "61")
    owner = f"onggi_{engines.own_suffix(engine)}"
    wire.on_host("ip", "link", "set", "wire0.61", "alias", owner)
    engine.start()
    assert "wire0.61" not in links(wire)
    assert "wire0.60" in links(wire)
    for name, said in (
        ("wire0.4095", "vlan id must be between 1-4094, received: 4095"),
        ("wire0.x", "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"),
        ("wire0.1.2", "required interface name format is: name.vlan_id"),
        ("nope.7", "-o parent interface was not found on the host: nope"),
    ):
        assert said in refused(engine, "network", "create", "-d", "macvlan", "-o", f"parent={name}", "bad")
    assert "bad" not in engine.docker("network", "ls", "--format", "{{.Name}}").split()

"""An engine on a host of its own, which is a network namespace: firewalls that drop, a real dockerd, a client
on another host by a wire.

    client 198.51.100.2 --- veth --- 198.51.100.1 host (engine, containers)
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine
from tests.published import SERVE, serve
from tests.wires import CLIENT, HOST, Wire, within

pytestmark = pytest.mark.root


def test_a_firewall_that_drops_what_is_forwarded_lets_ours_pass(engine: Engine, wire: Wire) -> None:
    wire.on_host("iptables", "-P", "FORWARD", "DROP")
    wire.on_host("nft", "add table inet theirs")
    wire.on_host(
        "nft", "add chain inet theirs forward { type filter hook forward priority 10 ; policy drop ; }"
    )
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    assert wire.fetch("127.0.0.1", 8080, at=0) == "hello"
    assert "-j ACCEPT" in wire.on_host("iptables", "-S", "FORWARD")
    wire.on_host("iptables", "-F", "FORWARD")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    engine.remove_all()
    engine.stop()
    assert "ACCEPT" not in wire.on_host("iptables", "-S", "FORWARD")
    assert "accept" not in wire.on_host("nft", "list", "table", "inet", "theirs")


def test_the_clients_address_is_kept_and_the_container_is_not_reached_past_its_port(
    engine: Engine, wire: Wire
) -> None:
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    connected = engine.docker("exec", "web", "netstat", "-tn")
    assert CLIENT in connected
    found = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["bridge"]
    subprocess.run(
        [
            "nsenter",
            "-t",
            str(wire.holders[1].pid),
            "-n",
            "ip",
            "route",
            "add",
            found["IPAddress"],
            "via",
            HOST,
        ],
        check=True,
    )
    assert wire.fetch(found["IPAddress"], 80, timeout=1) == ""


def test_a_port_of_one_address_is_not_served_on_another(engine: Engine, wire: Wire) -> None:
    engine.docker("run", "-d", "-p", "127.0.0.1:8080:80", BUSYBOX, "sh", "-c", SERVE)
    within(5, lambda: wire.fetch("127.0.0.1", 8080, at=0) == "hello")
    assert wire.fetch(HOST, 8080, timeout=1) == ""
    subprocess.run(
        ["nsenter", "-t", str(wire.holders[1].pid), "-n", "ip", "route", "add", "127.0.0.1", "via", HOST],
        capture_output=True,
    )
    assert wire.fetch("127.0.0.1", 8080, timeout=1) == ""


def test_beside_a_real_dockerd(engine: Engine, wire: Wire, tmp_path: Path) -> None:
    if not os.path.exists("/usr/sbin/dockerd"):
        pytest.skip("needs Debian's docker.io")
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    root, exec_root = tmp_path / "docker-root", tmp_path / "docker-run"
    command = ["nsenter", "-t", str(wire.host_pid), "-n", "/usr/sbin/dockerd", "--data-root", str(root)]
    command += ["--exec-root", str(exec_root), "--pidfile", str(exec_root / "docker.pid")]
    command += ["-H", f"unix://{exec_root}/engine.sock"]
    path = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")
    docker = Engine("dockerd", root, exec_root, command, {"PATH": path})
    docker.start()
    try:
        engines.import_busybox(docker)
        docker.docker("run", "-d", "--name", "web", "-p", "8081:80", BUSYBOX, "sh", "-c", SERVE)
        wire.on_host("iptables", "-P", "FORWARD", "DROP")
        within(5, lambda: wire.fetch(HOST, 8081) == "hello")
        within(5, lambda: wire.fetch(HOST, 8080) == "hello")
        docker.remove_all()
    finally:
        docker.stop()
        for mount in reversed(engines.mounts(str(tmp_path / "docker"))):
            subprocess.run(["umount", "-l", mount], capture_output=True)
        shutil.rmtree(root, ignore_errors=True)
    assert wire.fetch(HOST, 8080) == "hello"


def test_macvlan_containers_are_hosts_of_the_wire(engine: Engine, wire: Wire) -> None:
    engine.docker(
        "network", "create", "-d", "macvlan", "--subnet", "198.51.100.0/24", "--gateway", HOST,
        "--ip-range", "198.51.100.128/25", "-o", "parent=wire0", "onwire",
    )  # fmt: skip
    engine.docker("run", "-d", "--name", "web", "--network", "onwire", BUSYBOX, "sh", "-c", SERVE)
    found = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["onwire"]
    assert found["IPAddress"].startswith("198.51.100.1")
    within(5, lambda: wire.fetch(found["IPAddress"], 80) == "hello")
    engine.docker("run", "-d", "--name", "other", BUSYBOX, "sleep", "100")
    engine.docker("network", "connect", "onwire", "other")
    assert "eth1" in engine.docker("exec", "other", "ip", "link")
    engine.docker("network", "disconnect", "onwire", "other")
    assert "eth1" not in engine.docker("exec", "other", "ip", "link")
    engine.remove_all()
    engine.docker("network", "rm", "onwire")
    missing = engine.run(
        "docker", "network", "create", "-d", "macvlan", "-o", "parent=nope", "bad", check=False
    )
    assert "invalid subinterface vlan name nope, example formatting is eth0.10" in missing.stderr
    assert "bad" not in engine.docker("network", "ls", "--format", "{{.Name}}").split()


def test_a_new_route_that_collides_is_reported(engine: Engine, wire: Wire) -> None:
    engine.docker("network", "create", "--subnet", "10.55.0.0/24", "near")
    wire.on_host("ip", "route", "add", "10.55.0.0/16", "via", CLIENT)
    within(8, lambda: "10.55.0.0/16" in engine.log)
    assert "collides with subnet 10.55.0.0/24 of network near" in engine.log
    assert "route 10.55.0.0/24" not in engine.log

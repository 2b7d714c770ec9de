"""Limits of bandwidth, measured with iperf3 between a container and the host, and taken away again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, SLOW, Engine, own_suffix, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs iperf3 (Debian's package iperf3)"),
]
MEGABIT = 1_000_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("band")) as found:
        engines.import_busybox(found)
        try:
            found.docker("network", "create", "web")
            yield found
        finally:
            found.remove_all()
            found.docker("network", "rm", "-f", "web")
        found.stop()
        assert engines.leftovers(found) == []


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    yield
    if engine.process is None:
        engine.start()
    engine.remove_all()
    until(lambda: ifbs(engine) == [])


def ifbs(engine: Engine) -> list[str]:
    """The links that this engine has made to shape what containers send."""
    found = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    return [link["ifname"] for link in found if link.get("ifalias") == f"onggi_{own_suffix(engine)}"]


def start(engine: Engine, *flags: str, network: str = "web", client: str = "docker") -> dict[str, Any]:
    engine.run(client, "run", "-d", "--name", "box", *flags, BUSYBOX, "sleep", "1000")
    found = engine.api("GET", "/containers/box/json")
    endpoint = found["NetworkSettings"]["Networks"][network]
    return {"pid": found["State"]["Pid"], "gateway": endpoint["Gateway"], "options": endpoint["DriverOpts"]}


def rate(box: dict[str, Any], direction: str, seconds: int = 4) -> float:
    """Bits a second that arrive, of one TCP connection; `in` is to the container.

    Counted is what arrived between the first second and the end: the bucket and the socket's buffers are
    full by then.
    """
    port = str(free_port())
    server = subprocess.Popen(
        ["iperf3", "-s", "-B", box["gateway"], "-p", port],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    words = ["iperf3", "-c", box["gateway"], "-p", port, "-t", str(seconds), "-O", "1", "-J"]
    words += ["-R"] if direction == "in" else []
    try:
        until(lambda: listens(box["gateway"], int(port)))
        inside = ["nsenter", "-t", str(box["pid"]), "-n"]
        done = subprocess.run([*inside, *words], capture_output=True, text=True, timeout=60)
        found = json.loads(done.stdout)
        assert "error" not in found, found["error"]
        return float(found["end"]["sum_received"]["bits_per_second"])
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def listens(address: str, port: int) -> bool:
    shown = subprocess.run(
        ["ss", "-Htln", f"src {address} and sport = :{port}"], capture_output=True, text=True
    )
    return bool(shown.stdout.strip())


def about(measured: float, wanted: float) -> bool:
    """Within 15 %; an emulated processor may be too slow to reach a limit, and never passes it."""
    return (SLOW > 1 or 0.85 * wanted < measured) and 0 < measured < 1.15 * wanted


def holds(box: dict[str, Any], direction: str, wanted: float) -> bool:
    """One of three measurements: where others use the machine, one may be late or catch up."""
    return any(about(rate(box, direction), wanted) for _ in range(3))


def without(box: dict[str, Any], direction: str) -> bool:
    """Is it as fast as a link without a limit?"""
    return SLOW > 1 or any(rate(box, direction, 2) > 200 * MEGABIT for _ in range(3))


def test_both_directions_hold_and_inspect_tells_them(engine: Engine) -> None:
    box = start(engine, "--network", "name=web,driver-opt=bandwidth-in=20mbit,driver-opt=bandwidth-out=8mbit")
    assert box["options"] == {"bandwidth-in": "20mbit", "bandwidth-out": "8mbit"}
    assert holds(box, "in", 20 * MEGABIT)
    assert holds(box, "out", 8 * MEGABIT)
    assert len(ifbs(engine)) == 1


def test_our_flags_on_the_default_bridge(engine: Engine) -> None:
    box = start(engine, "--bandwidth-out", "50mbit", network="bridge", client="onggi")
    assert holds(box, "out", 50 * MEGABIT)
    assert without(box, "in")


def test_a_change_while_it_runs(engine: Engine) -> None:
    box = start(engine, "--network", "web", "--bandwidth-in", "10mbit", client="onggi")
    assert holds(box, "in", 10 * MEGABIT)
    engine.onggi("update", "--bandwidth-in", "30mbit", "--bandwidth-out", "5mbit", "box")
    assert holds(box, "in", 30 * MEGABIT)
    assert holds(box, "out", 5 * MEGABIT)
    engine.onggi("update", "--bandwidth-in", "0", "--bandwidth-out", "0", "--bandwidth-network", "web", "box")
    assert without(box, "in")
    assert without(box, "out")
    assert ifbs(engine) == []
    engine.docker("restart", "-t", "0", "box")  # and it stays as it was told last
    assert ifbs(engine) == []


def test_a_networks_options_are_for_its_containers(engine: Engine) -> None:
    engine.docker("network", "create", "-o", "bandwidth-out=6mbit", "slow")
    try:
        box = start(engine, "--network", "slow", network="slow")
        assert holds(box, "out", 6 * MEGABIT)
        engine.docker("network", "disconnect", "slow", "box")
        assert ifbs(engine) == []
        engine.docker("network", "connect", "--driver-opt", "bandwidth-out=12mbit", "slow", "box")
        found = engine.api("GET", "/containers/box/json")["NetworkSettings"]["Networks"]["slow"]
        assert found["DriverOpts"] == {"bandwidth-out": "12mbit"}
        assert holds(box | {"gateway": found["Gateway"]}, "out", 12 * MEGABIT)
    finally:
        engine.remove_all()
        engine.docker("network", "rm", "slow")


def test_who_administers_the_network_inside_cannot_take_it_off(engine: Engine) -> None:
    """tc(8) in the container sees its own end of the pair, and that has no limit to remove."""
    box = start(
        engine, "--network", "web", "--cap-add", "NET_ADMIN", "--bandwidth-out", "8mbit", client="onggi"
    )
    inside = ["nsenter", "-t", str(box["pid"]), "-n"]
    shown = subprocess.run(
        [*inside, "tc", "qdisc", "show"], capture_output=True, text=True, check=True
    ).stdout
    assert "tbf" not in shown
    subprocess.run([*inside, "tc", "qdisc", "replace", "dev", "eth0", "root", "pfifo"], check=True)
    assert holds(box, "out", 8 * MEGABIT)


def test_an_engine_that_was_killed_takes_it_up_again(engine: Engine) -> None:
    box = start(engine, "--network", "web", "--bandwidth-out", "8mbit", client="onggi")
    engine.kill()
    subprocess.run(["tc", "qdisc", "del", "dev", ifbs(engine)[0], "root"], check=True)
    engine.start()
    assert holds(box, "out", 8 * MEGABIT)
    assert engine.api("GET", "/containers/box/json")["State"]["Pid"] == box["pid"]
    engine.kill()
    os.kill(box["pid"], signal.SIGKILL)
    assert len(ifbs(engine)) == 1
    engine.start()
    until(lambda: ifbs(engine) == [])


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--bandwidth-in", "10"), "invalid bandwidth-in: '10': a rate in bits, such as 10mbit"),
        (("--bandwidth-out", "-5mbit"), "invalid bandwidth-out: '-5mbit'"),
        (("--bandwidth-out", "1kbit"), "from 8kbit to 1tbit"),
        (("--bandwidth-in", "1mbit", "--network", "name=web,driver-opt=bandwidth-in=2mbit"), "conflicting"),
    ],
)
def test_what_is_refused(engine: Engine, flags: tuple[str, ...], why: str) -> None:
    got = engine.run("onggi", "create", *flags, BUSYBOX, check=False)
    assert got.returncode != 0
    assert why in got.stderr


def test_networks_without_an_end_on_the_host_are_refused(engine: Engine) -> None:
    why = "bandwidth-in and bandwidth-out need a network of the driver bridge"
    words = ("network", "create", "-d", "macvlan", "-o", "bandwidth-in=1mbit", "mac")
    assert why in engine.run("docker", *words, check=False).stderr
    engine.onggi("create", "--name", "alone", "--network", "none", BUSYBOX)
    got = engine.run("onggi", "update", "--bandwidth-in", "1mbit", "alone", check=False)
    assert "has no network of its own" in got.stderr

"""A host without nftables: libnftables and nft(8) are hidden from the engine, which then uses iptables(8)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, wires
from tests.engines import BUSYBOX, Engine
from tests.published import serve
from tests.wires import CLIENT, HOST, Wire, within

pytestmark = pytest.mark.root
HIDE = (
    "mount --make-rprivate /; for file in /usr/lib/*/libnftables.so.1* $(command -v nft); do mount --bind "
    '/dev/null "$file"; done; exec "$@"'
)


@pytest.fixture
def wire() -> Iterator[Wire]:
    for tool in ("iptables-restore", "ip6tables-restore"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    found = Wire()
    yield found
    found.close()


def hidden(wire: Wire, directory: Path, *flags: str) -> Engine:
    """An engine that finds neither libnftables nor nft."""
    found = wires.engine_on(wire, directory, *flags)
    at = found.command.index("-n") + 1
    found.command[at:at] = ["unshare", "-m", "sh", "-c", HIDE, "sh"]
    return found


@pytest.fixture
def engine(tmp_path: Path, wire: Wire) -> Iterator[Engine]:
    found = hidden(wire, tmp_path)
    with engines.running(found):
        yield found


def page(address: str, port: int, seconds: int = 15) -> list[str]:
    ask = f"timeout {seconds + 1} nc -w {seconds} {address} {port}"
    return ["sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | {ask}"]


def test_published_ports_names_and_what_stays_apart(engine: Engine, wire: Wire) -> None:
    wire.on_host("iptables", "-P", "FORWARD", "DROP")
    engine.docker("network", "create", "--ipv6", "six")
    serve(engine, "--network", "six", "-p", "8080:80", "-p", "127.0.0.1:8081:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    assert CLIENT in engine.docker("exec", "web", "netstat", "-tn")
    for address in ("127.0.0.1", "::1", HOST):
        assert wire.fetch(address, 8080, at=0) == "hello", address
    assert wire.fetch("127.0.0.1", 8081, at=0) == "hello"
    assert wire.fetch(HOST, 8081, timeout=1) == ""
    found = engine.api("GET", "/containers/web/json")["NetworkSettings"]["Networks"]["six"]
    assert "hello" in engine.docker("exec", "web", *page(found["Gateway"], 8080))
    assert "hello" in engine.docker("run", "--rm", "--network", "six", BUSYBOX, *page("web", 80))
    done = engine.run("docker", "run", "--rm", BUSYBOX, *page(found["IPAddress"], 80, 2), check=False)
    assert "hello" not in done.stdout
    guard = wire.on_host("iptables", "-t", "raw", "-S")
    assert "-d 127.0.0.0/8" in guard
    assert "2 references" not in guard
    assert "DNAT" in wire.on_host("ip6tables", "-t", "nat", "-S")
    assert wire.on_host("nft", "list", "tables").count("onggi") == 0
    engine.docker("rm", "-f", "web")
    assert "--to-destination" not in wire.on_host("iptables", "-t", "nat", "-S")
    busy = engine.run("docker", "run", "--rm", "-p", "8080:80", BUSYBOX, "true")
    assert busy.returncode == 0
    engine.docker("network", "rm", "six")
    engine.stop()
    for tool in ("iptables", "ip6tables"):
        for table in ("raw", "nat", "filter"):
            assert "ONGGI" not in wire.on_host(tool, "-t", table, "-S"), (tool, table)


def test_it_survives_the_engine_and_who_flushes_it(engine: Engine, wire: Wire) -> None:
    serve(engine, "-p", "8080:80")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")
    wire.on_host("iptables", "-t", "nat", "-F")
    within(5, lambda: wire.fetch(HOST, 8080, timeout=1) == "hello")
    wire.on_host("iptables", "-t", "nat", "-F", "PREROUTING")
    within(5, lambda: wire.fetch(HOST, 8080, timeout=1) == "hello")
    engine.kill()
    assert wire.fetch(HOST, 8080) == "hello"
    engine.start()
    assert wire.fetch(HOST, 8080) == "hello"
    engine.docker("restart", "-t", "0", "web")
    within(5, lambda: wire.fetch(HOST, 8080) == "hello")


def test_ports_obey_input_by_choice(tmp_path: Path, wire: Wire) -> None:
    with engines.running(hidden(wire, tmp_path, "--publish-policy=host-firewall")) as engine:
        serve(engine, "-p", "8080:80")
        within(5, lambda: wire.fetch(HOST, 8080) == "hello")
        wire.on_host("iptables", "-I", "INPUT", "-i", "wire0", "-p", "tcp", "--dport", "8080", "-j", "DROP")
        assert wire.fetch(HOST, 8080, timeout=1) == ""
        assert wire.fetch("127.0.0.1", 8080, at=0) == "hello"

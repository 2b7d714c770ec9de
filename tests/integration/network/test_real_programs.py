"""The kinds of programs that people put into containers, of Debian's packages: found by name, published."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests import engines
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400)]
PACKAGES = "nginx-light redis-server iperf3 postgresql curl"
INSTALL = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("real")) as found:
        made = found.run("onggi", "image", "bootstrap", "debian:bookworm", check=False, timeout=300)
        if made.returncode:
            pytest.skip(f"needs debootstrap and a mirror of Debian: {made.stderr[-200:]}")
        found.run(
            "docker", "run", "--name", "made", "debian:bookworm", "sh", "-c", INSTALL + PACKAGES, timeout=300
        )
        found.docker("commit", "made", "programs")
        found.docker("network", "create", "app")
        yield found
        found.remove_all()
        found.docker("network", "rm", "app")
        found.stop()
        assert engines.leftovers(found) == []


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    yield
    engine.remove_all()


def run(engine: Engine, name: str, *words: str) -> None:
    engine.docker("run", "-d", "--name", name, "--network", "app", *words)


def within(seconds: float, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def inside(engine: Engine, *words: str) -> str:
    """A command in a container of its own in the network."""
    return engine.run("docker", "run", "--rm", "--network", "app", "programs", *words, check=False).stdout


def port_of(engine: Engine, name: str) -> int:
    return int(engine.docker("port", name).split(":")[-1])


def test_redis_is_reached_by_its_name(engine: Engine) -> None:
    run(engine, "redis", "programs", "redis-server", "--protected-mode", "no", "--bind", "0.0.0.0")
    within(10, lambda: "PONG" in inside(engine, "redis-cli", "-h", "redis", "ping"))
    assert "OK" in inside(engine, "redis-cli", "-h", "redis", "set", "jar", "full")
    assert "full" in inside(engine, "redis-cli", "-h", "redis", "get", "jar")


def test_nginx_is_published(engine: Engine) -> None:
    run(engine, "nginx", "-p", "127.0.0.1::80", "programs", "nginx", "-g", "daemon off;")
    url = f"http://127.0.0.1:{port_of(engine, 'nginx')}/"

    def served() -> bool:
        try:
            return b"Welcome to nginx" in urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            return False

    within(10, served)
    assert "Welcome to nginx" in inside(engine, "curl", "-s", "http://nginx/")


def test_postgres_keeps_its_data_and_survives_the_engine(engine: Engine) -> None:
    conf = "/etc/postgresql/15/main"
    script = (
        f"echo host all all 0.0.0.0/0 trust >> {conf}/pg_hba.conf; "
        f"echo \"listen_addresses = '*'\" >> {conf}/postgresql.conf; "
        "exec pg_ctlcluster --foreground 15 main start"
    )
    psql = ["psql", "-h", "db", "-U", "postgres", "-Atc"]

    def start() -> None:
        run(engine, "db", "-v", "pgdata:/var/lib/postgresql", "programs", "sh", "-c", script)
        within(30, lambda: inside(engine, *psql, "select 1") == "1\n")

    start()
    inside(engine, *psql, "create table jars as select generate_series(1, 1000) as n")
    engine.kill()
    engine.start()
    assert inside(engine, *psql, "select count(*) from jars") == "1000\n"
    engine.docker("stop", "-t", "20", "db")
    engine.docker("rm", "db")
    start()
    assert inside(engine, *psql, "select sum(n) from jars") == "500500\n"


def test_iperf_between_containers_and_through_a_published_port(engine: Engine) -> None:
    run(engine, "iperf", "-p", "127.0.0.1::5201", "programs", "iperf3", "-s")
    within(10, lambda: "bits/sec" in inside(engine, "iperf3", "-c", "iperf", "-t", "1"))
    report = json.loads(inside(engine, "iperf3", "-J", "-c", "iperf", "-t", "1"))
    assert report["end"]["sum_received"]["bits_per_second"] > 1e9
    port = str(port_of(engine, "iperf"))
    published = engine.docker(
        "run",
        "--rm",
        "--network",
        "host",
        "programs",
        "iperf3",
        "-J",
        "-c",
        "127.0.0.1",
        "-p",
        port,
        "-t",
        "1",
    )
    assert json.loads(published)["end"]["sum_received"]["bits_per_second"] > 1e9

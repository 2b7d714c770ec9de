"""--link of the default bridge: names, variables, rm --link. First shown on a real dockerd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=["dockerd", "onggi"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory: Path = tmp_path_factory.mktemp(request.param)
    opened = (
        engines.dockerd(directory, network=True) if request.param == "dockerd" else engines.onggi(directory)
    )
    with opened as found:
        engines.import_busybox(found)
        yield found
        found.remove_all()


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    yield
    engine.remove_all()


def start(engine: Engine, name: str, *flags: str) -> None:
    engine.docker("run", "-d", "--name", name, *flags, BUSYBOX, "sleep", "1000")


def environment(engine: Engine, *command: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in engine.docker(*command).splitlines())
    return {name: value for name, _, value in pairs}


def address(engine: Engine, name: str) -> str:
    found = engine.api("GET", f"/containers/{name}/json")["NetworkSettings"]
    return str(found["Networks"]["bridge"]["IPAddress"])


def test_variables_and_names_of_a_link(engine: Engine) -> None:
    start(engine, "my-db", "--expose", "80-82", "--expose", "99/udp", "--expose", "9000", "-e", "KIND=jar")
    link = ["--link", "my-db:data-base"]
    start(engine, "web", *link, "-e", "DATA_BASE_ENV_KIND=mine")
    at = address(engine, "my-db")
    for command in (["exec", "web", "env"], ["run", "--rm", "--name", "web2", *link, BUSYBOX, "env"]):
        found = environment(engine, *command)
        name = "web" if command[0] == "exec" else "web2"
        kept = {key: value for key, value in found.items() if key.startswith("DATA_BASE_")}
        expected = {
            "DATA_BASE_NAME": f"/{name}/data-base",
            "DATA_BASE_PORT": f"tcp://{at}:80",
            "DATA_BASE_ENV_KIND": "mine" if name == "web" else "jar",
            "DATA_BASE_PORT_80_TCP_START": f"tcp://{at}:80",
            "DATA_BASE_PORT_80_TCP_END": f"tcp://{at}:82",
            "DATA_BASE_PORT_80_TCP_PORT_START": "80",
            "DATA_BASE_PORT_80_TCP_PORT_END": "82",
        }
        for port, protocol in ((80, "tcp"), (81, "tcp"), (82, "tcp"), (9000, "tcp"), (99, "udp")):
            key = f"DATA_BASE_PORT_{port}_{protocol.upper()}"
            expected[key] = f"{protocol}://{at}:{port}"
            expected |= {f"{key}_ADDR": at, f"{key}_PORT": str(port), f"{key}_PROTO": protocol}
        assert kept == expected
    hosts = engine.docker("exec", "web", "cat", "/etc/hosts")
    assert any(line.split()[:2] == [at, "data-base"] for line in hosts.splitlines())
    shown = engine.api("GET", "/containers/web/json")["HostConfig"]["Links"]
    assert shown == ["/my-db:/web/data-base"]
    names = {name for item in engine.api("GET", "/containers/json") for name in item["Names"]}
    assert names == {"/my-db", "/web", "/web/data-base"}
    assert engine.docker("ps", "--format", "{{.Names}}").split() == ["web", "my-db"]


def test_rm_link_takes_the_link_and_leaves_the_containers(engine: Engine) -> None:
    start(engine, "db")
    start(engine, "web", "--link", "db:store")
    assert "store" in engine.docker("exec", "web", "cat", "/etc/hosts")
    for name, said in (("db", "cannot remove the default link name"), ("web/none", "No such container")):
        done = engine.run("docker", "rm", "--link", name, check=False)
        assert done.returncode
        assert said in done.stderr
    engine.docker("rm", "--link", "web/store")
    assert not engine.api("GET", "/containers/web/json")["HostConfig"]["Links"]
    assert sorted(engine.docker("ps", "--format", "{{.Names}}").split()) == ["db", "web"]
    engine.docker("restart", "-t", "0", "web")
    assert "store" not in engine.docker("exec", "web", "cat", "/etc/hosts")


def test_a_link_follows_its_container(engine: Engine) -> None:
    """A new address after a restart, a new name, and its end."""
    start(engine, "db")
    start(engine, "web", "--link", "db:store")
    before = address(engine, "db")
    engine.docker("stop", "-t", "0", "db")
    start(engine, "other")  # takes the free address where addresses are not handed out in turn
    engine.docker("start", "db")
    after = address(engine, "db")
    assert after != before or engine.kind == "onggi"
    hosts = engine.docker("exec", "web", "cat", "/etc/hosts")
    assert any(line.split()[:2] == [after, "store"] for line in hosts.splitlines()), hosts
    engine.docker("rename", "db", "renamed")
    assert engine.api("GET", "/containers/web/json")["HostConfig"]["Links"] == ["/renamed:/web/store"]
    engine.docker("rm", "-f", "renamed")
    if engine.kind == "onggi":  # a dockerd goes on showing it, and does not start its container any more
        assert not engine.api("GET", "/containers/web/json")["HostConfig"]["Links"]
        engine.docker("restart", "-t", "0", "web")


def test_what_cannot_be_linked(engine: Engine) -> None:
    done = engine.run("docker", "run", "--rm", "--link", "nobody:x", BUSYBOX, "true", check=False)
    assert "could not get container for nobody" in done.stderr
    engine.docker("create", "--name", "still", BUSYBOX)
    done = engine.run("docker", "run", "--rm", "--link", "still:x", BUSYBOX, "true", check=False)
    assert "Cannot link to a non running container" in done.stderr

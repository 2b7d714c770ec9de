"""What an engine is told for all its containers: the seccomp profile, the address of host-gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]
RUN = ("run", "--rm", "--network", "none")
GATEWAY = "192.0.2.77"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "no-links.json"
    rule = {"names": ["link", "linkat"], "action": "SCMP_ACT_ERRNO"}
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    return path


@pytest.fixture(scope="module", params=["dockerd", "onggi"])
def engine(
    request: pytest.FixtureRequest, profile: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    make = engines.onggi if request.param == "onggi" else engines.dockerd
    flags = (f"--seccomp-profile={profile}", f"--host-gateway-ip={GATEWAY}")
    with make(tmp_path_factory.mktemp(request.param), *flags) as found:
        engines.import_busybox(found)
        yield found


def links(engine: Engine, *words: str) -> bool:
    """Whether a container may make a hard link."""
    return engine.run("docker", *words, "ln", "/bin/true", "/tmp/link", check=False).returncode == 0


def test_a_profile_holds_for_containers_that_name_none(engine: Engine, profile: Path) -> None:
    assert not links(engine, *RUN, BUSYBOX)
    assert not links(engine, *RUN, "--cap-add", "ALL", BUSYBOX)
    if engine.kind == "onggi":  # runc fails to give what the machine's own bounding set lacks
        assert links(engine, *RUN, "--privileged", BUSYBOX)
    assert links(engine, *RUN, "--security-opt", "seccomp=unconfined", BUSYBOX)
    engine.docker("run", "-d", "--name", "runs", "--network", "none", BUSYBOX, "sleep", "1000")
    assert not links(engine, "exec", "runs")
    engine.docker("rm", "-f", "runs")
    assert f"name=seccomp,profile={profile}" in engine.api("GET", "/info")["SecurityOptions"]


def test_a_profile_holds_for_the_steps_of_builds(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BUSYBOX}\nRUN ! ln /bin/true /tmp/link\n")
    engine.docker("build", "--network", "none", "-q", str(tmp_path))


def test_builtin_is_the_engines_own(tmp_path: Path, profile: Path) -> None:
    """dockerd knows the word since 24."""
    with engines.onggi(tmp_path, f"--seccomp-profile={profile}") as engine:
        engines.import_busybox(engine)
        assert links(engine, *RUN, "--security-opt", "seccomp=builtin", BUSYBOX)


def test_unconfined(tmp_path: Path) -> None:
    """This word, too."""
    with engines.onggi(tmp_path, "--seccomp-profile=unconfined") as engine:
        engines.import_busybox(engine)
        seen = engine.docker(*RUN, BUSYBOX, "grep", "Seccomp:", "/proc/self/status")
        assert seen.split() == ["Seccomp:", "0"]
        assert "name=seccomp,profile=unconfined" in engine.api("GET", "/info")["SecurityOptions"]


def test_host_gateway_is_what_the_engine_was_told(engine: Engine) -> None:
    hosts = engine.docker(*RUN, "--add-host", "up:host-gateway", BUSYBOX, "cat", "/etc/hosts")
    assert f"{GATEWAY}\tup" in hosts

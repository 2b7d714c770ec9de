"""Real programs in a user's engine: packages come in by the uplink, nginx is published, Redis has a name."""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, programs, rootless, rootless_hosts
from tests.engines import Engine
from tests.programs import within

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]
IMAGE = "rootless-programs:test"
INSTALL = (
    "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d;"
    "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "
    "nginx-light redis-server"
)
REDIS = ("redis-server", "--protected-mode", "no", "--bind", "0.0.0.0")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian that root's engine has bootstrapped, once on a machine."""
    directory = tmp_path_factory.mktemp("base")
    kept = programs.CACHE / "base.tar"
    if not kept.exists():
        with engines.onggi(directory) as engine:
            programs.load_base(engine)
    return kept


@pytest.fixture
def engine(rootless_user: rootless.User, tmp_path: Path, base: Path) -> Iterator[Engine]:
    if shutil.which("slirp4netns") is None:
        pytest.skip("needs Debian's slirp4netns")
    running = rootless_hosts.engine_here(rootless_user, tmp_path, "--rootless-network=slirp4netns")
    running.start()
    try:
        own = rootless_user.home / "base.tar"
        shutil.copy(base, own)
        os.chown(own, rootless_user.uid, rootless_user.gid)
        running.run("onggi", "load", "-q", "-i", str(own), timeout=300)
        own.unlink()
        yield running
    finally:
        engines.end(running)
    within(10, lambda: rootless.processes(rootless_user.uid) == [])


def get(port: int) -> bytes:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
            return bytes(reply.read())
    except OSError:
        return b""


def test_packages_come_in_and_programs_are_reached(engine: Engine) -> None:
    made = engine.run(
        "docker", "run", "--name", "making", programs.BASE, "sh", "-c", INSTALL, check=False, timeout=500
    )
    if "Temporary failure resolving" in made.stderr + made.stdout:
        pytest.skip("needs a mirror of Debian")
    assert made.returncode == 0, made.stderr[-500:]
    engine.run("docker", "commit", "making", IMAGE, timeout=200)
    engine.docker("network", "create", "app")
    serve = ["nginx", "-g", "daemon off;"]
    engine.docker("run", "-d", "--name", "web", "--network", "app", "-p", "127.0.0.1:18080:80", IMAGE, *serve)
    within(20, lambda: b"Welcome to nginx" in get(18080))
    assert sum(b"Welcome to nginx" in get(18080) for _ in range(50)) == 50
    engine.docker("run", "-d", "--name", "redis", "--network", "app", IMAGE, *REDIS)
    ask = ["docker", "run", "--rm", "--network", "app", IMAGE, "redis-cli", "-h", "redis"]
    within(20, lambda: engine.run(*ask, "ping", check=False).stdout == "PONG\n")
    assert engine.run(*ask, "set", "jar", "full").stdout == "OK\n"
    assert engine.run(*ask, "get", "jar").stdout == "full\n"
    engine.kill()
    assert b"Welcome to nginx" in get(18080)
    engine.start()
    assert engine.run(*ask, "get", "jar").stdout == "full\n"

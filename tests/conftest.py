"""What every test may ask for: engines, capabilities of the machine, a hypothesis profile."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import engines, rootless

# A run of the tests looks at what a change broke, always with the same examples; `make fuzz` looks for more.
settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fuzz", deadline=None, max_examples=20_000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Ignored where the run itself was begun in the background, and then by every program that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

KNOWN_FAILURES = Path(__file__).parent / "known_failures.txt"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Known failures are run and reported as such; tests that need root are skipped for anybody else."""
    known = {line for line in KNOWN_FAILURES.read_text().splitlines() if not line.startswith("#")}
    for item in items:
        if item.nodeid in known:
            item.add_marker(pytest.mark.xfail(reason="known failure: tests/known_failures.txt", strict=False))
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: namespaces, mounts, cgroups"))


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    """A real dockerd with the busybox image, one for the whole run; without a bridge."""
    if not Path("/usr/sbin/dockerd").exists():
        pytest.skip("needs dockerd (Debian: docker.io)")
    with engines.dockerd(tmp_path_factory.mktemp("dockerd")) as engine:
        engines.import_busybox(engine)
        yield engine


@pytest.fixture(scope="session")
def onggi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    """Our engine with the busybox image, one for the whole run."""
    with engines.onggi(tmp_path_factory.mktemp("onggi")) as engine:
        engines.import_busybox(engine)
        yield engine


@contextlib.contextmanager
def ordinary_user() -> Iterator[rootless.User]:
    """With subordinate ids."""
    for tool, package in (("newuidmap", "uidmap"), ("setpriv", "util-linux")):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool} (Debian: {package})")
    with rootless.user() as who:
        yield who


@pytest.fixture(scope="session")
def rootless_user() -> Iterator[rootless.User]:
    """An ordinary user who has no process but those of the test."""
    with ordinary_user() as who:
        yield who


@pytest.fixture(scope="session")
def rootless_onggi() -> Iterator[engines.Engine]:
    """Another user's engine with the busybox image, one for the whole run."""
    with ordinary_user() as who, rootless.onggi(who) as engine:
        engines.import_busybox(engine)
        yield engine


@pytest.fixture(scope="session")
def docker_client() -> str:
    """The real docker client's path."""
    found = shutil.which("docker")
    if found is None:
        pytest.skip("needs the docker client (Debian: docker.io)")
    return found

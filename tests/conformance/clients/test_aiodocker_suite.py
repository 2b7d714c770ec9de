"""aiodocker's own test suite, as its authors wrote it, on a real dockerd and on ours.

What passes on dockerd must pass on ours. Its source archive comes from PyPI; the images that it takes from
Docker Hub are made of this machine's programs and stand in a registry on loopback that both engines mirror.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import engines, registries
from tests.conformance.clients import images_of_hosts

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(900)]

VERSION = "0.27.0"  # as in requirements-dev.lock
# Files that no engine here can pass: each test starts a Docker-in-Docker, an image of Docker Hub, for its
# swarm; test_ssh.py tests aiodocker's own wrapping of asyncssh, without an engine.
LEFT_OUT = ("test_configs", "test_nodes", "test_secrets", "test_services", "test_swarm", "test_ssh")
IMAGES = ("python:3.13-alpine", "python:3.14-alpine", "python:latest")
# Reasons are in docs/compatibility.md.
OTHERWISE = {
    "tests.test_execs::test_exec_attached_tty": "its authors expect it to fail: it races with the prompt",
    "tests.test_integration::test_attach_tty": "the same",
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source archive."""
    aiodocker = pytest.importorskip("aiodocker")
    assert aiodocker.__version__ == VERSION, "the lock has another aiodocker: change VERSION"
    directory = tmp_path_factory.mktemp("aiodocker")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "aiodocker"]
    done = subprocess.run(
        [*fetch, f"aiodocker=={VERSION}", "-d", str(directory)], capture_output=True, text=True, timeout=200
    )
    archives = list(directory.glob("*.tar.gz"))
    if not archives:
        pytest.skip(f"needs PyPI, for aiodocker's source archive: {done.stderr.strip()[-200:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(directory)  # ours is from PyPI; `filter` is not in Debian 12's Python
    found = directory / f"aiodocker-{VERSION}"
    # What the library async-timeout is since Python 3.11.
    (found / "tests" / "async_timeout.py").write_text("from asyncio import timeout as timeout\n")
    return found


@pytest.fixture(scope="module")
def outcome(suite: Path) -> Callable[[str], dict[str, str]]:
    """Runs the suite on an engine, once: {test: passed | skipped | the failure's text}."""
    known: dict[str, dict[str, str]] = {}
    for program in (images_of_hosts.PYTHON, images_of_hosts.REGISTRY):
        if not program.exists():
            pytest.skip(f"needs Debian's {program.name}")

    def run(kind: str) -> dict[str, str]:
        if kind not in known:
            with tempfile.TemporaryDirectory(prefix="aio") as short:  # containerd's sockets are deep below it
                known[kind] = _run(kind, suite, Path(short))
        return known[kind]

    return run


@contextlib.contextmanager
def _engine(kind: str, tmp: Path, *flags: str) -> Iterator[engines.Engine]:
    with contextlib.ExitStack() as stack:
        if kind == "dockerd":
            bridge = stack.enter_context(engines.own_bridge())
            yield stack.enter_context(engines.dockerd(tmp, *flags, f"--bridge={bridge}", network=True))
        else:
            yield stack.enter_context(engines.onggi(tmp, *flags))


def _run(kind: str, suite: Path, tmp: Path) -> dict[str, str]:
    with registries.registry(tmp) as mirror:
        flags = ["--registry-mirror", f"http://{mirror.host}"]
        with _engine(kind, tmp, *flags) as engine:
            images_of_hosts.python(engine, *IMAGES)
            images_of_hosts.registry(engine, "registry:2")
            images_of_hosts.mirrored(engine, mirror.host, *IMAGES)
            return _results(engine, suite, tmp / "results.xml")


def _results(engine: engines.Engine, suite: Path, report: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    environment |= {"DOCKER_HOST": engine.host, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    command = [str(Path(sys.executable).parent / "pytest"), "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
    command += ["-W", "ignore:The configuration option"]  # of pytest-asyncio, older than theirs
    for noise in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
        command += ["-W", f"ignore::{noise}"]  # of an earlier test's connection that the collector finds
    command += [f"--ignore=tests/{name}.py" for name in LEFT_OUT]
    command += ["--timeout=60", f"--junitxml={report}", "tests"]
    done = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, timeout=800)
    assert report.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return {
        f"{case.get('classname')}::{case.get('name')}": _verdict(case)
        for case in ET.parse(report).iter("testcase")
    }


def _verdict(case: ET.Element) -> str:
    for child in case:
        if child.tag in ("failure", "error"):
            return f"{child.get('message')}\n{child.text}"
        if child.tag == "skipped":
            return "skipped"
    return "passed"


def _passed(found: dict[str, str]) -> set[str]:
    return {name for name, verdict in found.items() if verdict == "passed"}


def test_the_harness_holds_on_dockerd(outcome: Callable[[str], dict[str, str]]) -> None:
    if not Path("/usr/sbin/dockerd").exists():
        pytest.skip("needs dockerd (Debian: docker.io)")
    found = outcome("dockerd")
    assert len(_passed(found)) > 150, {name: text for name, text in found.items() if text != "passed"}


def test_what_passes_on_dockerd_passes_here(outcome: Callable[[str], dict[str, str]]) -> None:
    if not Path("/usr/sbin/dockerd").exists():
        pytest.skip("needs dockerd (Debian: docker.io)")
    here = outcome("onggi")
    missed = {name: here.get(name, "not run") for name in _passed(outcome("dockerd")) - _passed(here)}
    assert set(missed) <= set(OTHERWISE), "\n\n".join(f"{name}\n{text}" for name, text in missed.items())

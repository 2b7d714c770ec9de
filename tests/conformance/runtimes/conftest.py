"""One suite for every runtime, on dockerd first: `pair` is a client on an engine that knows them all.

crun 1.8 refuses a hybrid host as long as it sees version 2's controllers, so it is started where that
hierarchy is not mounted. gVisor of 2022 takes a kernel whose network namespaces have rmem_default (Linux
6.15) for the host's network and refuses its own stack (runsc/boot/network.go), so that it uses the
namespace's: --network=host.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.pairs import IMAGE, Pair

RUNTIMES = ("onggi", "runc", "crun", "runsc")
OWN = engines.TOP / ".venv" / "bin" / "onggi-runtime"
CRUN = """#!/bin/sh
exec unshare -m --propagation unchanged sh -c '
    mount --make-private /sys/fs/cgroup && umount /sys/fs/cgroup/unified 2>/dev/null
    exec /usr/bin/crun "$@"' crun "$@"
"""


class Under(Pair):
    """A pair whose containers are run by one runtime."""

    def __init__(self, client: str, engine: engines.Engine, runtime: str) -> None:
        super().__init__(client, engine)
        self.runtime = runtime

    def options(self, *more: str) -> list[str]:
        return ["--runtime", self.runtime, "--network", "none", *more]

    def once(self, *command: str, flags: tuple[str, ...] = (), stdin: bytes | None = None) -> str:
        """What a container prints that lives as long as its command."""
        return self("run", "--rm", *self.options(*flags), IMAGE, *command, stdin=stdin)

    def behind(self, *command: str, flags: tuple[str, ...] = ()) -> str:
        """One that runs in the background; its id."""
        return self("run", "-d", *self.options(*flags), IMAGE, *command)

    def exit_of(self, name: str) -> int:
        return int(self("wait", name))

    def lacks(self, runtime: str, why: str) -> None:
        """Skip what a runtime cannot do here, whoever drives it."""
        if self.runtime == runtime:
            pytest.skip(f"{runtime}: {why}")


def runtimes(directory: Path) -> dict[str, dict[str, object]]:
    """daemon.json's `runtimes`, without those that engines have by themselves."""
    crun = directory / "crun"
    crun.write_text(CRUN)
    crun.chmod(0o755)
    return {
        "crun": {"path": str(crun)},
        "runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=host"]},
    }


def configured(directory: Path, **more: object) -> str:
    """A daemon.json's path."""
    path = directory / "daemon.json"
    path.write_text(json.dumps({"runtimes": {**runtimes(directory), **more}}))
    return str(path)


@pytest.fixture(scope="module")
def knowing_dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    if not Path("/usr/sbin/dockerd").exists():
        pytest.skip("needs dockerd (Debian: docker.io)")
    tmp = tmp_path_factory.mktemp("dockerd")
    with engines.dockerd(tmp, "--config-file", configured(tmp)) as engine:
        engines.import_busybox(engine)
        yield engine
    end_sandboxes(engine)


def end_sandboxes(engine: engines.Engine) -> None:
    """dockerd leaves those behind whose start failed: supervisor, sandbox, gofer and cgroups."""
    ids = set()
    for pid in engines.processes(engine):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            ids |= {words[words.index("-id") + 1]} if "-id" in words else set()
            os.kill(pid, signal.SIGKILL)
    for path in (path for one in ids for path in Path("/sys/fs/cgroup").glob(f"*/docker/{one}")):
        engines.until(lambda path=path: not (path / "cgroup.procs").read_text())  # type: ignore[misc]
        path.rmdir()


@pytest.fixture(scope="module")
def knowing_onggi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    """At its end nothing is left: no process, mount or cgroup, and no state of a runtime."""
    tmp = tmp_path_factory.mktemp("onggi")
    with engines.onggi(tmp, "--config-file", configured(tmp, again={"path": str(OWN)})) as engine:
        engines.import_busybox(engine)
        yield engine
        engine.remove_all()
        kept = held(engine)
        engine.stop()
        left = engines.leftovers(engine)
        engine.start()
    assert left == []
    assert kept == []


def held(engine: engines.Engine) -> list[str]:
    """What runtimes keep of containers."""
    return [str(path) for path in (engine.exec_root / "runtimes").glob("*/*")]


@pytest.fixture(params=["docker-dockerd", "docker-onggi", "onggi-onggi"])
def pair(request: pytest.FixtureRequest) -> Pair:
    client, kind = request.param.split("-")
    if client == "docker":
        request.getfixturevalue("docker_client")
    return Pair(client, request.getfixturevalue(f"knowing_{kind}"))


@pytest.fixture(params=RUNTIMES)
def under(request: pytest.FixtureRequest, pair: Pair) -> Iterator[Under]:
    if request.param == "onggi" and pair.engine.kind == "dockerd":
        pytest.skip("dockerd shows what other runtimes do; onggi-runtime under it: tests/conformance/runtime")
    if request.param != "onggi" and shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param} (Debian: {request.param})")
    yield Under(pair.client, pair.engine, request.param)
    pair.engine.remove_all()

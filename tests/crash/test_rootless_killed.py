"""SIGKILL of an ordinary user's engine at each step of create, start, exec, commit, stop and remove.

The script of test_daemon_killed.py, without what a user's engine has not: limits, idmapped mounts. The engine
dies inside its namespaces; what comes after it finds them by those who live there.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests import engines, rootless
from tests.crash import test_daemon_killed as rooted
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

POINTS = (
    "create.row-written", "create.directory-made", "create.snapshot-made", "create.volumes-made",
    "create.complete", "start.row-written", "start.network-attached", "start.shim-spawned", "start.started",
    "start.undone", "exec.created", "exec.compiled", "exec.started", "exec.ended", "restart.stopped",
    "restart.started", "kill.row-written", "kill.signalled", "commit.packed", "stop.row-written",
    "stop.signalled", "stop.killed", "exit.row-written", "exit.network-detached", "remove.row-written",
    "remove.killed", "remove.cgroup-gone", "remove.snapshot-gone", "remove.directory-gone",
    "remove.volumes-gone",
)  # fmt: skip


class Script(rooted.Script):
    def steps(self) -> list[Callable[[], None]]:
        return [
            self.make_volume, self.make_secret, self.create, self.start, self.exec, self.rename, self.restart,
            self.commit, self.kill, self.stop, self.remove, self.remove_running, self.start_in_vain,
            self.come_back, self.remove_volume, self.remove_secret,
        ]  # fmt: skip

    def exec(self) -> None:
        exec_id = json.loads(self.ask("POST", "/containers/crash/exec", {"Cmd": ["true"]}, (201,)))["Id"]
        self.ask("POST", f"/exec/{exec_id}/start", {"Detach": True})
        while json.loads(self.ask("GET", f"/exec/{exec_id}/json"))["Running"]:
            time.sleep(0.01)
        super().exec()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Of a user of this module's alone: his processes are counted."""
    with rootless.user() as who, rootless.onggi(who) as running:
        engines.import_busybox(running)
        yield running


@pytest.mark.parametrize("failpoint", POINTS)
def test_killed(engine: Engine, failpoint: str) -> None:
    witness = engine.docker(
        "run", "-d", "--network", "none", engines.BUSYBOX, "sh", "-c", rooted.WITNESS
    ).strip()
    pid = engine.api("GET", f"/containers/{witness}/json")["State"]["Pid"]
    engine.stop()
    engine.start(failpoint=f"{failpoint}=kill")
    reached = False
    for step in Script(engine, None).steps():  # type: ignore[arg-type]
        try:
            step()
        except (OSError, http.client.HTTPException):
            assert not reached, f"the engine died twice\n{engine.log[-3000:]}"
            assert engine.process is not None
            assert engine.process.wait(10) == 137
            engine.kill()
            engine.start()
            reached = True
            step()
    assert reached, f"no step passes {failpoint}"
    state = engine.api("GET", f"/containers/{witness}/json")["State"]
    assert (state["Running"], state["Pid"]) == (True, pid)
    engine.api("POST", f"/containers/{witness}/kill?signal=USR1")
    assert engine.api("POST", f"/containers/{witness}/wait")["StatusCode"] == 17
    log = engine.docker("logs", witness).splitlines()
    assert log[-1] == "last words"
    assert log[:-1] == [f"line {n}" for n in range(1, len(log))]
    engine.api("DELETE", f"/containers/{witness}")
    engine.stop()
    engine.start()
    assert engine.api("GET", "/containers/json?all=1") == []
    _nothing_is_left(engine)


def _nothing_is_left(engine: Engine) -> None:
    deadline = time.monotonic() + 10
    while found := [
        f"{name}/{one}" for name in ("containers", "volumes", "trash") for one in _below(engine, name)
    ]:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    assert list((engine.exec_root / "shims").iterdir()) == []
    engine.docker("rmi", "crash-image:1")
    assert json.loads(engine.request("GET", "/system/check")[1])["Faults"] == []


def _below(engine: Engine, name: str) -> list[str]:
    return [path.name for path in (engine.root / name).glob("*")]

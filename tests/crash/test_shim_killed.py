"""SIGKILL of the shim, the zygote and init: the engine says what happened and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.slow]


def shim_points() -> list[tuple[str, str]]:
    """Every failpoint of the shim, from its source, with the runtimes on whose way it lies."""
    source = engines.TOP / "src" / "onggi" / "spawn"
    found = []
    for path in source.rglob("*.py"):
        for name in set(re.findall(r'failpoints\.hit\("([^"]+)"\)', path.read_text())):
            found += [(name, "onggi")] if path.name != "foreign.py" else []
            found += [(name, "runc")] if path.name != "launch.py" else []
    return sorted(found)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path) as running:
        engines.import_busybox(running)
        yield running


def until(engine: Engine, cid: str, wanted: str) -> dict[str, Any]:
    """Wait until the container has that status; its State."""
    deadline = time.monotonic() + 30
    while True:
        state: dict[str, Any] = engine.api("GET", f"/containers/{cid}/json")["State"]
        if state["Status"] == wanted:
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def start(engine: Engine, *command: str, **host_config: object) -> str:
    body = {
        "Image": engines.BUSYBOX,
        "Cmd": list(command),
        "HostConfig": {"NetworkMode": "none", **host_config},
    }
    cid: str = engine.api("POST", "/containers/create", body)["Id"]
    engine.api("POST", f"/containers/{cid}/start")
    return cid


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def check_clean(engine: Engine) -> None:
    engine.remove_all()
    engine.stop()
    assert engines.leftovers(engine) == []
    assert list((engine.root / "containers").glob("*")) == []


def test_init_killed(engine: Engine) -> None:
    cid = start(engine, "sleep", "1000")
    os.kill(engine.api("GET", f"/containers/{cid}/json")["State"]["Pid"], signal.SIGKILL)
    assert until(engine, cid, "exited")["ExitCode"] == 137
    check_clean(engine)


def test_shim_killed_while_running(engine: Engine) -> None:
    cid = start(engine, "sh", "-c", "echo before; sleep 1000")
    pid = engine.api("GET", f"/containers/{cid}/json")["State"]["Pid"]
    while "before" not in engine.docker("logs", cid):
        time.sleep(0.02)
    os.kill(parent_of(pid), signal.SIGKILL)
    state = until(engine, cid, "exited")
    assert state["ExitCode"] != 0
    assert state["Error"]
    engines.until(lambda: gone(pid))  # a container without its supervisor must not run on unseen
    assert engine.docker("logs", cid) == "before\n"
    engine.api("POST", f"/containers/{cid}/start")
    until(engine, cid, "running")
    check_clean(engine)


def test_shim_killed_while_the_daemon_is_dead(engine: Engine) -> None:
    cid = start(engine, "sleep", "1000")
    pid = engine.api("GET", f"/containers/{cid}/json")["State"]["Pid"]
    shim = parent_of(pid)
    engine.kill()
    os.kill(shim, signal.SIGKILL)
    engine.start()
    assert until(engine, cid, "exited")["ExitCode"] != 0
    engines.until(lambda: gone(pid))
    check_clean(engine)


def test_zygote_killed(engine: Engine) -> None:
    first = start(engine, "sleep", "1000")
    shim = parent_of(engine.api("GET", f"/containers/{first}/json")["State"]["Pid"])
    assert engine.process is not None
    zygote = parent_of(shim)
    assert parent_of(zygote) == engine.process.pid
    os.kill(zygote, signal.SIGKILL)
    second = start(engine, "sh", "-c", "exit 4")
    assert until(engine, second, "exited")["ExitCode"] == 4
    assert until(engine, first, "running")
    engine.api("POST", f"/containers/{first}/stop?t=0")
    assert until(engine, first, "exited")["ExitCode"] == 137
    check_clean(engine)


def test_exit_while_the_daemon_is_dead(engine: Engine, tmp_path: Path) -> None:
    command = ("sh", "-c", "while [ ! -e /gate/open ]; do sleep 0.02; done; echo last; exit 23")
    (tmp_path / "gate").mkdir()
    cid = start(engine, *command, Binds=[f"{tmp_path}/gate:/gate"])
    pid = engine.api("GET", f"/containers/{cid}/json")["State"]["Pid"]
    engine.kill()
    (tmp_path / "gate" / "open").touch()
    engines.until(lambda: gone(pid))
    engine.start()
    assert until(engine, cid, "exited")["ExitCode"] == 23
    assert engine.docker("logs", cid) == "last\n"
    check_clean(engine)


def test_restart_policy_works_across_a_dead_daemon(engine: Engine) -> None:
    cid = start(engine, "sleep", "1000", RestartPolicy={"Name": "always"})
    pid = engine.api("GET", f"/containers/{cid}/json")["State"]["Pid"]
    engine.kill()
    os.kill(pid, signal.SIGKILL)
    engines.until(lambda: gone(pid))
    engine.start()
    assert until(engine, cid, "running")["Pid"] != pid
    check_clean(engine)


def test_execs_are_known_to_the_next_daemon(engine: Engine, tmp_path: Path) -> None:
    """One that ends while no daemon lives, one that ends afterwards; a health check is nobody's business."""
    cid = start(engine, "sleep", "1000", Binds=[f"{tmp_path}:/gate"])
    ids = []
    for name, code in (("first", 5), ("second", 6)):
        waits = f"while [ ! -e /gate/{name} ]; do sleep 0.02; done; exit {code}"
        body = {"Cmd": ["sh", "-c", waits], "AttachStdout": True, "User": "root"}
        ids.append(engine.api("POST", f"/containers/{cid}/exec", body)["Id"])
        engine.api("POST", f"/exec/{ids[-1]}/start", {"Detach": True})
    pids = [engine.api("GET", f"/exec/{exec_id}/json")["Pid"] for exec_id in ids]
    engine.kill()
    (tmp_path / "first").touch()
    engines.until(lambda: gone(pids[0]))
    engine.start()
    engines.until(lambda: not engine.api("GET", f"/exec/{ids[0]}/json")["Running"])  # its shim reaps it
    first = engine.api("GET", f"/exec/{ids[0]}/json")
    assert (first["Running"], first["ExitCode"], first["Pid"]) == (False, 5, pids[0])
    second = engine.api("GET", f"/exec/{ids[1]}/json")
    assert (second["Running"], second["Pid"], second["ProcessConfig"]["user"]) == (True, pids[1], "root")
    (tmp_path / "second").touch()
    engines.until(lambda: not engine.api("GET", f"/exec/{ids[1]}/json")["Running"])
    assert engine.api("GET", f"/exec/{ids[1]}/json")["ExitCode"] == 6
    check_clean(engine)


def test_exec_goes_on_while_the_daemon_dies(engine: Engine, tmp_path: Path) -> None:
    cid = start(engine, "sleep", "1000", Binds=[f"{tmp_path}:/out"])
    body = {"Cmd": ["sh", "-c", "sleep 1; echo done >/out/exec-done"], "AttachStdout": True}
    exec_id = engine.api("POST", f"/containers/{cid}/exec", body)["Id"]
    engine.api("POST", f"/exec/{exec_id}/start", {"Detach": True})
    engine.kill()
    engine.start()
    engines.until((tmp_path / "exec-done").exists)
    check_clean(engine)


@pytest.mark.parametrize(("failpoint", "runtime"), shim_points())
def test_shim_killed_at_each_step(tmp_path: Path, failpoint: str, runtime: str) -> None:
    with engines.onggi(tmp_path) as engine:
        engines.import_busybox(engine)
        engine.stop()
        engine.start(failpoint=f"{failpoint}=kill")
        body = {
            "Image": engines.BUSYBOX,
            "Cmd": ["sh", "-c", "exit 6"],
            "HostConfig": {"NetworkMode": "none", "Runtime": runtime},
        }
        cid = engine.api("POST", "/containers/create", body)["Id"]
        status, _ = engine.request("POST", f"/containers/{cid}/start")
        if status == 204:
            state = until(engine, cid, "exited")
            assert state["ExitCode"] != 0
        else:
            assert engine.api("GET", f"/containers/{cid}/json")["State"]["Running"] is False
        engine.stop()
        engine.start()
        engine.api("POST", f"/containers/{cid}/start")
        assert until(engine, cid, "exited")["ExitCode"] == 6
        assert list((engine.exec_root / "runtimes").glob("*/*")) == []
        check_clean(engine)

"""exec: a process inside a running container, and the create/start pair."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onggi.kernel import processes
from onggi.runtime import compile
from onggi.spawn.join import join
from onggi.spawn.launch import finish, launch
from onggi.spawn.plan import StepFailed
from tests.integration.spawn.busybox_containers import DEFAULT_CAPS, Runner, config

pytestmark = pytest.mark.root


@pytest.fixture(params=["", "user"])
def running(
    request: pytest.FixtureRequest, root: Path, tmp_path: Path
) -> Iterator[tuple[dict[str, Any], int]]:
    """A container that sleeps, with and without a user namespace: (document, pid of init)."""
    document = config(root, "sleep", "60")
    if request.param:
        for directory in (tmp_path, *list(tmp_path.parents)[:2]):
            os.chmod(directory, 0o755)
        mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        document["linux"]["namespaces"].append({"type": "user"})
        document["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    plan = compile.container(document, container_id="joined", bundle_dir=str(tmp_path))
    null = os.open("/dev/null", os.O_RDWR)
    started = launch(plan, null, null, null)
    os.close(null)
    try:
        yield document, started.pid
    finally:
        processes.pidfd_send_signal(started.pidfd, signal.SIGKILL)
        processes.wait_pidfd(started.pidfd)
        os.close(started.pidfd)
        assert finish(plan, started.pid) == []


def exec_plan(running: tuple[dict[str, Any], int], script: str, **process: Any) -> dict[str, Any]:
    document, pid = running
    wanted: dict[str, Any] = {
        "args": ["sh", "-c", script],
        "env": ["PATH=/bin", "X=y"],
        "cwd": "/etc",
        "user": {"uid": 0, "gid": 0},
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), DEFAULT_CAPS),
        **process,
    }
    return compile.process(wanted, container=document, container_id="joined", init_pid=pid)


def test_an_exec_is_inside(run: Runner, running: tuple[dict[str, Any], int]) -> None:
    script = "pwd; hostname; cat /proc/1/comm; echo $X; ls /proc/self/fd | wc -l; readlink /proc/self/ns/pid; exit 9"  # noqa: E501
    code, out = run.plan(exec_plan(running, script), start=join)
    pid_namespace = os.readlink(f"/proc/{running[1]}/ns/pid")
    assert (code, out.split()) == (9, ["/etc", "jar", "sleep", "y", "4", pid_namespace])


def test_an_exec_with_a_terminal_and_a_user(run: Runner, running: tuple[dict[str, Any], int]) -> None:
    plan = exec_plan(running, "tty; id -u; stat -c %u $(tty)", terminal=True, user={"uid": 7, "gid": 7})
    code, out = run.plan(plan, start=join)
    assert (code, out.split()) == (0, ["/dev/pts/0", "7", "7"])


def test_a_working_directory_through_a_descriptor_is_refused(
    run: Runner, running: tuple[dict[str, Any], int]
) -> None:
    for number in range(3, 12):
        with pytest.raises(StepFailed) as failed:
            run.plan(exec_plan(running, "true", cwd=f"/proc/self/fd/{number}"), start=join)
        assert failed.value.step == "cwd"


def test_a_container_that_has_ended(run: Runner, root: Path) -> None:
    document = config(root, "true")
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(StepFailed) as failed:
        run.plan(exec_plan((document, pid), "true"), start=join)
    assert failed.value.step == "join"


def test_what_is_not_there(run: Runner, running: tuple[dict[str, Any], int]) -> None:
    with pytest.raises(StepFailed) as failed:
        run.plan(exec_plan(running, "", args=["nothere"]), start=join)
    assert failed.value.exit_code == 127


def test_created_then_started(run: Runner, root: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "start"
    os.mkfifo(fifo)
    document = config(root, "touch", "/ran")
    plan = compile.container(document, container_id="c", bundle_dir="/", start_fifo=str(fifo))
    null = os.open("/dev/null", os.O_RDWR)
    started = launch(plan, null, null, null)
    os.close(null)
    assert not (root / "ran").exists()
    fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, b"0")
    os.close(fd)
    assert processes.wait_pidfd(started.pidfd) == 0
    os.close(started.pidfd)
    assert (root / "ran").exists()

"""How a process comes into its cgroups: it writes itself into those of version 1, is born in that of
version 2.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onggi.kernel import namespaces, processes
from onggi.kernel.namespaces import CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWPID
from onggi.runtime import cgroups
from onggi.spawn import join, launch, plan

pytestmark = pytest.mark.root

NAME = f"onggi-test-born-{os.getpid()}"
SLEEP = [("find", "/bin/sleep"), ("exec", ("/bin/sleep", "1000"), ("PATH=/bin",))]


@pytest.fixture
def unified() -> Iterator[str]:
    """The directory of a version 2 group."""
    root = cgroups.detect().unified
    if root is None:
        pytest.skip("no cgroup2 is mounted")
    directory = f"{root}/{NAME}"
    os.mkdir(directory)
    yield directory
    for pid in Path(directory, "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    for pidfd in reversed(_open):  # a pid namespace's init ends when its other processes are reaped
        processes.wait_pidfd(pidfd)
        os.close(pidfd)
    _open.clear()
    os.rmdir(directory)


_open: list[int] = []


def started(made: plan.Plan, how: Callable[[plan.Plan], plan.Launched]) -> int:
    launched = how(made)
    _open.append(launched.pidfd)
    return launched.pid


def start(made: plan.Plan) -> plan.Launched:
    return launch.launch(made, 0, 1, 2)


def group_of(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line for line in lines if line.startswith("0::"))


def sleeper(directory: str, flags: int = 0) -> plan.Plan:
    made = plan.new("x")
    made["born"], made["clone"] = directory, flags
    made["child"] = ([("unshare", CLONE_NEWCGROUP)] if flags else []) + SLEEP
    return made


def test_born_in_its_group(unified: str) -> None:
    assert group_of(started(sleeper(unified), start)) == f"0::/{NAME}"


def test_moved_where_clone3_is_hidden(unified: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(flags: int, cgroup_fd: int) -> tuple[int, int]:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), "clone3")

    monkeypatch.setattr(launch, "clone_into", hidden)
    assert group_of(started(sleeper(unified), start)) == f"0::/{NAME}"


def test_a_group_that_is_gone_is_named(unified: str) -> None:
    with pytest.raises(plan.StepFailed, match=f"cgroup '{unified}/gone': no such file"):
        start(sleeper(f"{unified}/gone"))


@pytest.mark.parametrize("by_launcher", [True, False])
def test_an_exec_is_born_there_too(unified: str, by_launcher: bool) -> None:
    """Also where it joins a cgroup namespace, out of which it could not have been born."""
    flags = CLONE_NEWNS | CLONE_NEWPID
    init = started(sleeper(unified, flags), start)
    made = sleeper(unified)
    made["exec_join"] = (init, flags | CLONE_NEWCGROUP)
    pid = exec_by_launcher(made) if by_launcher else started(made, lambda p: join.join(p, 0, 1, 2))
    assert group_of(pid) == f"0::/{NAME}"
    for name in ("mnt", "pid", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/{init}/ns/{name}")


def exec_by_launcher(made: plan.Plan) -> int:
    """As launcher.py does: a process that is about to end makes the other as its sibling, our child."""
    reading, writing = os.pipe()
    launcher, pidfd = namespaces.clone(0)
    if launcher == 0:
        try:
            pid = join.join(made, 0, 1, 2, sibling=True).pid
            os.write(writing, str(pid).encode())
        finally:
            os._exit(0)
    processes.wait_pidfd(pidfd)
    os.close(pidfd)
    os.close(writing)
    pid = int(os.read(reading, 100))
    os.close(reading)
    _open.append(processes.pidfd_open(pid))
    return pid

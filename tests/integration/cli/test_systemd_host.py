"""The engine as a service of a host that systemd rules: limits, delegation, restarts, a reload of systemd.

It installs units into the running system, so it runs in the machine of scripts/test-v2 alone.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import engines

HERE = Path("/proc/1/comm").read_text().strip() == "systemd" and "ONGGI_V2" in os.environ
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not HERE, reason="needs a machine of its own with systemd: scripts/test-v2 --whole"),
]
FIRST = str(engines.ONGGI)
CGROUPS = Path("/sys/fs/cgroup")


def run(*command: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(command, input=stdin or b"", capture_output=True, timeout=200)
    assert done.returncode == 0, (command, done.stderr.decode())
    return done.stdout.decode().strip()


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The engine, installed and with an image."""
    run(FIRST, "system", "install")
    run("onggi", "import", "-", "busybox", stdin=engines.busybox_rootfs())
    yield "onggi"
    for name in run("onggi", "ps", "-aq").split():
        run("onggi", "rm", "-f", name)
    run("onggi", "system", "uninstall")


def group_of(pid: str) -> Path:
    line = next(
        line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::")
    )
    return CGROUPS / line.removeprefix("0::/")


def limits(group: Path) -> list[str]:
    names = ("memory.max", "pids.max", "cpu.max", "cpuset.cpus", "io.weight")
    return [(group / name).read_text().strip() for name in names]


LIMITED = (
    "run", "-d", "--network", "none", "--memory", "64m", "--pids-limit", "50", "--cpus", "0.5",
    "--cpuset-cpus", "0", "--blkio-weight", "300", "busybox", "sleep", "100000",
)  # fmt: skip


def test_limits_hold_whatever_systemd_does(service: str) -> None:
    jar = run(service, *LIMITED)
    pid = run(service, "inspect", "-f", "{{.State.Pid}}", jar)
    group = group_of(pid)
    before = limits(group)
    assert before[:4] == [str(64 << 20), "50", "50000 100000", "0"]
    run("systemctl", "daemon-reload")
    run("systemd-run", "--wait", "-p", "MemoryMax=50M", "-p", "CPUQuota=20%", "true")
    run("systemctl", "daemon-reexec")
    assert limits(group) == before
    run(service, "update", "--memory", "80m", "--memory-swap", "160m", jar)
    assert limits(group)[0] == str(80 << 20)
    run(service, "rm", "-f", jar)
    assert not group.exists()


def test_an_engine_inside_what_systemd_has_delegated(tmp_path: Path) -> None:
    """The engine in one group of a unit with Delegate=yes, its containers below another; nothing is outside.

    systemd's CGROUP_DELEGATION, "Two Key Design Rules".
    """
    unit, root, exec_root = "delegated", tmp_path / "root", tmp_path / "run"
    parent = f"/system.slice/{unit}.service"
    script = (
        f"mkdir {CGROUPS}{parent}/engine && echo 0 > {CGROUPS}{parent}/engine/cgroup.procs && "
        f"exec {FIRST} daemon "
        f"--data-root {root} --exec-root {exec_root} -H unix://{exec_root}/sock --bridge none "
        f"--cgroup-parent {parent}/containers"
    )
    run("systemd-run", f"--unit={unit}", "-p", "Delegate=yes", "-p", "KillMode=process", "sh", "-c", script)
    words = (FIRST, "-H", f"unix://{exec_root}/sock")
    try:
        until(lambda: subprocess.run([*words, "version"], capture_output=True).returncode == 0)
        run(*words, "import", "-", "busybox", stdin=engines.busybox_rootfs())
        jar = run(*words, *LIMITED)
        group = group_of(run(*words, "inspect", "-f", "{{.State.Pid}}", jar))
        assert str(group).startswith(f"{CGROUPS}{parent}/containers/")
        before = limits(group)
        assert before[:4] == [str(64 << 20), "50", "50000 100000", "0"]
        run("systemctl", "daemon-reload")
        assert limits(group) == before
        run(*words, "rm", "-f", jar)
        assert not group.exists()
    finally:
        run("systemctl", "stop", unit)
    until(lambda: not (CGROUPS / parent.lstrip("/")).exists())


def test_containers_outlive_the_service(service: str) -> None:
    jar = run(service, *LIMITED)
    shown = (service, "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", jar)
    before = run(*shown)
    group = group_of(before.split()[1])
    held = limits(group)
    for command in (
        ("systemctl", "restart", "onggi.service"),
        ("systemctl", "kill", "--kill-who=main", "-s", "KILL", "onggi.service"),
    ):
        run(*command)
        until(lambda: subprocess.run([service, "version"], capture_output=True).returncode == 0)
        assert run(*shown) == before
        assert limits(group) == held
        assert run(service, "exec", jar, "echo", "in") == "in"
    run("systemctl", "stop", "onggi.service", "onggi.socket")
    assert Path(f"/proc/{before.split()[1]}").exists()
    run("systemctl", "start", "onggi.socket")
    assert run(*shown) == before
    run(service, "rm", "-f", jar)


def test_a_container_may_be_given_a_part_of_the_tree(service: str) -> None:
    """--security-opt writable-cgroups: the delegation goes on into the container."""
    script = (
        "mkdir /sys/fs/cgroup/inner && echo 0 > /sys/fs/cgroup/inner/cgroup.procs && "
        "echo +pids > /sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/part && "
        "echo 7 > /sys/fs/cgroup/part/pids.max && cat /sys/fs/cgroup/part/pids.max"
    )
    flags = ("run", "--rm", "--network", "none", "--security-opt", "writable-cgroups=true", "busybox")
    assert run(service, *flags, "sh", "-c", script) == "7"

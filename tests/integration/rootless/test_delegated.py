"""An ordinary user's engine in a cgroup that was delegated to him (cgroup v2): limits hold, pause works.

systemd delegates by Delegate=yes; here the test does what systemd does: it makes a group and gives it away
(Documentation/admin-guide/cgroup-v2.rst, "Model of Delegation").
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, rootless
from tests.engines import BUSYBOX, until

pytestmark = pytest.mark.root

BASE = Path("/sys/fs/cgroup")
NONE = ("--network", "none")


@pytest.fixture(scope="module")
def group(rootless_user: rootless.User) -> Iterator[Path]:
    """A group of the user's, with the controllers that systemd gives to users."""
    if not (BASE / "cgroup.controllers").exists():
        pytest.skip("needs a host with cgroup v2 alone")
    made = BASE / f"onggi-test-{secrets.token_hex(4)}"
    there = (BASE / "cgroup.controllers").read_text().split()
    words = [f"+{name}" for name in ("cpu", "memory", "pids") if name in there]
    (BASE / "cgroup.subtree_control").write_text(" ".join(words))
    made.mkdir()
    for path in (made, made / "cgroup.procs", made / "cgroup.subtree_control", made / "cgroup.threads"):
        os.chown(path, rootless_user.uid, rootless_user.gid)
    yield made
    until(lambda: _removed(made))


def _removed(made: Path) -> bool:
    groups = [entry.parent for entry in made.rglob("cgroup.procs")]
    for path in sorted(groups, key=lambda one: -len(one.parts)):
        try:
            path.rmdir()
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def engine(rootless_user: rootless.User, group: Path) -> Iterator[rootless.Engine]:
    """Started in the group, as a service with Delegate=yes is."""
    found = rootless.Engine(rootless_user)
    found.command = ["sh", "-c", f'echo 0 > {group}/cgroup.procs; exec "$@"', "sh", *found.command]
    found.start()
    try:
        engines.import_busybox(found)
        yield found
    finally:
        engines.end(found)


def test_limits_hold(engine: rootless.Engine, group: Path) -> None:
    info = json.loads(engine.onggi("info", "-f", "{{json .}}"))
    assert (info["CgroupDriver"], info["CgroupVersion"], info["MemoryLimit"]) == ("cgroupfs", "2", True)
    flags = ("-m", "32m", "--pids-limit", "20", "--cpus", "0.5")
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max"
    done = engine.run("onggi", "run", "--rm", *NONE, *flags, BUSYBOX, "sh", "-c", script)
    assert done.stdout.split() == [str(32 << 20), "20", "50000", "100000"]
    assert done.stderr == ""
    script = "echo 1 > /sys/fs/cgroup/pids.max"
    assert engine.run("onggi", "run", "--rm", *NONE, BUSYBOX, "sh", "-c", script, check=False).returncode != 0


def test_out_of_memory_is_told(engine: rootless.Engine) -> None:
    grow = "x=a; while :; do x=$x$x; done"
    engine.onggi("run", "-d", *NONE, "--name", "oom", "-m", "16m", BUSYBOX, "sh", "-c", grow)
    assert engine.onggi("wait", "oom") == "137\n"
    assert engine.api("GET", "/containers/oom/json")["State"]["OOMKilled"] is True


def test_pause_update_stats_and_the_end(engine: rootless.Engine, group: Path) -> None:
    flags = (*NONE, "--name", "jar", "-m", "64m", "--memory-swap", "-1")
    engine.onggi("run", "-d", *flags, BUSYBOX, "sleep", "1000")
    engine.onggi("pause", "jar")
    assert engine.api("GET", "/containers/jar/json")["State"]["Paused"] is True
    engine.onggi("unpause", "jar")
    engine.onggi("update", "-m", "96m", "--memory-swap", "-1", "jar")
    assert engine.onggi("exec", "jar", "cat", "/sys/fs/cgroup/memory.max") == f"{96 << 20}\n"
    stats = engine.api("GET", "/containers/jar/stats?stream=0&one-shot=1")
    assert stats["memory_stats"]["limit"] == 96 << 20
    engine.kill()
    engine.start()
    assert engine.onggi("exec", "jar", "echo", "here") == "here\n"
    engine.onggi("rm", "-f", "jar")
    assert [entry.parent.name for entry in group.rglob("cgroup.procs") if len(entry.parent.name) == 64] == []

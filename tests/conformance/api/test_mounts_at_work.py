"""What a container sees of its mounts: each `docker run` on a real dockerd and on ours has the same end and output.

Words of refusals are compared in test_volume_words.py; where runc and our runtime refuse, that both do is compared here.
"""
# ruff: noqa: E501 (tables of cases)

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.slow]

# (flags, command); HOST is a directory that is made anew for each
CASES: list[tuple[str, str]] = [
    # places of their own
    ("-v HOST:/proc", ""), ("-v HOST:/proc/sys", ""), ("-v HOST/file:/proc/uptime", "cat /proc/uptime"),
    ("-v /proc/cpuinfo:/proc/cpuinfo", "head -c 5 /proc/cpuinfo"), ("--pid host -v /proc:/proc", "ls -d /proc/1"),
    ("--tmpfs /proc/x", ""), ("-v HOST:/sys/fs", "ls /sys/fs"), ("-v HOST:/dev/pts", "ls /dev/pts"), ("-v HOST:/dev/shm", "ls /dev/shm"),
    ("-v HOST:/etc", "ls /etc"), ("-v HOST/file:/etc/hosts", "cat /etc/hosts"), ("-v HOST/file:/etc/resolv.conf", "cat /etc/resolv.conf"),
    ("-v HOST/file:/etc/hostname", "cat /etc/hostname"), ("-v HOST:/bin/busybox", ""), ("-v HOST/file:/tmp", ""), ("-v HOST/file:/bin/sh/x", ""),
    # sources
    ("-v HOST/loop:/in", ""), ("-v HOST/lnk:/in", "ls /in"), ("-v HOST/abs:/in", "ls /in | grep -c passwd"), ("-v HOST/fifo:/in", "stat -c %F /in"),
    ("-v /dev/null:/in", "stat -c '%F %t' /in; echo x > /in"), ("-v /dev/null:/in:ro", "echo x > /in"), ("-v HOST/a,b:/in", "ls -d /in"),
    ("-v HOST/sp\\ ace:/in", "ls -d /in"), ("-v HOST/\u00fcn\u00ef:/\u00fcn\u00ef", "ls -d /\u00fcn\u00ef"), ("-v HOST/none/deep:/in", "ls -la /in | wc -l"),
    ("-v HOST/file/none:/in", ""), ("--mount type=bind,src=HOST/none,dst=/in", ""), ("-v /var/run/../../etc/passwd:/in:ro", "head -c 4 /in"),
    ("-v /:/host:ro", "ls /host/etc/passwd; touch /host/x"), ("-v /proc:/host:ro", "ls -d /host/1"), ("-v /sys:/host:ro", "ls /host | head -1"),
    # read-only, and mounts below mounts
    ("-v HOST:/in:ro", "touch /in/x; mkdir /in/y; rm /in/file; ls /in/file"), ("-v HOST:/in -v HOST/sub:/in/other", "ls /in /in/other"),
    ("-v HOST/sub:/in/other -v HOST:/in", "ls /in/other"), ("-v HOST:/in:ro -v vx:/in/none", "ls /in"), ("-v HOST:/in:ro -v vx:/in/sub", "ls /in/sub"),
    ("--tmpfs /in -v HOST:/in/a", "ls /in/a | head -1"), ("-v vx:/in -v vx:/other", "touch /in/q; ls /other"),
    ("-v vx:/in:ro -v vx:/other", "touch /other/r; ls /in; touch /in/s"), ("--read-only -v vy:/in", "touch /in/x && touch /x"),
    ("--read-only -v HOST:/none/such", "ls /none/such | head -1"), ("--read-only --tmpfs /tmp", "touch /tmp/x && echo ok"),
    ("--read-only --tmpfs /tmp:ro", "touch /tmp/x && echo ok"), ("--cap-add SYS_ADMIN -v HOST:/in:ro", "mount -o remount,rw,bind /in 2>&1; touch /in/z"),
    ("-v HOST:/in", "umount /in"), ("--mount type=bind,src=HOST,dst=/in,readonly=false", "touch /in/t && echo w"),
    ("--mount type=bind,src=HOST,dst=/in,ro=1", "touch /in/t"), ("--mount type=bind,src=HOST,dst=/in,bind-nonrecursive", "ls /in | head -1"),
    # volumes
    ("-u 1000 -v vz:/home/app", "id -u; touch /home/app/x && stat -c %u /home/app/x"), ("-u 1000 -v vz2:/data", "touch /data/x"),
    ("-u 1000 -v vz3:/none", "touch /none/x"), ("-w /in/new -v vw1:/in", "pwd; ls -la /in | wc -l"), ("-w /in/new/deep -v HOST:/in", "pwd"),
    ("-w /in/new -v HOST:/in:ro", "pwd"), ("-v vx:/in:nocopy,ro", "ls /in"), ("--mount type=volume,dst=/in,volume-driver=local", "ls -d /in"),
    ("--mount type=volume,source=,dst=/in", "ls -d /in"), ("-v vx:/in:rw,z,nocopy", "echo ok"), ("--volume-driver local -v vd:/in", "ls -d /in"),
    ("-v vbin:/bin", "echo copied up"), ("-v vbare:/bin:nocopy", ""), ("-v vhome:/home", "stat -c '%u %a' /home/app"),
    # tmpfs
    ("--tmpfs /t:size=0", "grep -c ' /t ' /proc/mounts"), ("--tmpfs /t:mode=777,uid=5", "stat -c '%a %u' /t"),
    ("--tmpfs /t", "stat -c '%a %u' /t; grep ' /t ' /proc/mounts"), ("--mount type=tmpfs,dst=/t", "stat -c '%a %u' /t; grep ' /t ' /proc/mounts"),
    ("--mount type=tmpfs,dst=/t,tmpfs-mode=0700,tmpfs-size=1k", "stat -c '%a %u' /t; grep ' /t ' /proc/mounts"),
    ("--tmpfs /home", "ls /home; stat -c '%a %u' /home"), ("--mount type=tmpfs,dst=/root", "stat -c '%a %u' /root"), ("--tmpfs /tmp", "stat -c %a /tmp"),
    ("--tmpfs /t:noexec,nosuid,nodev,rw,size=1048576k", "grep ' /t ' /proc/mounts"), ("--tmpfs /run --tmpfs /run/x", "ls /run"),
    ("--tmpfs /dev/shm:size=5m", "grep ' /dev/shm ' /proc/mounts"),
    # words of the client
    ("-v :/in", ""), ("-v vx:", ""), ("-v ./rel:/in", "ls -d /in"), ("-v .:/in", "ls -d /in"), ("-v C:\\\\x:/in", ""), ("-v vx:/in -v vx:/in", ""),
    ("--mount type=volume", ""), ("--mount foo", ""), ("--mount type=volume,dst=/in,foo=bar", ""), ("--mount type=tmpfs,dst=/in,src=x", ""),
    ("--mount type=bind,src=/tmp,dst=/in,volume-nocopy", ""), ("--volumes-from none", ""),
]  # fmt: skip


def fresh(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    for name in ("sub/deep", "a,b", "sp ace", "\u00fcn\u00ef"):
        (place / name).mkdir(parents=True)
    (place / "file").write_text("x\n")
    (place / "lnk").symlink_to("sub")
    (place / "abs").symlink_to("/etc")
    (place / "loop").symlink_to("loop")
    os.mkfifo(place / "fifo")


def run(engine: Engine, place: Path, flags: str, command: str) -> tuple[int, str, str]:
    fresh(place)
    words = [
        word.replace("\\ ", " ").replace("\\\\", "\\")
        for word in re.split(r"(?<!\\) ", flags.replace("HOST", str(place)))
    ]
    done = subprocess.run(
        ["docker", "run", "--rm", "--pull", "never", "--network", "none", *words, BUSYBOX, "sh", "-c", command or "true"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=place, timeout=60,
        env={**os.environ, "DOCKER_HOST": engine.host},
    )  # fmt: skip
    left = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    said = done.stderr if not done.stderr.startswith("docker: ") else "refused"  # by the engine or the client
    return done.returncode, done.stdout + said, "\n".join(left)


@pytest.mark.parametrize(("flags", "command"), CASES, ids=lambda value: ascii(value)[:60])
def test_the_same_on_both(onggi: Engine, dockerd: Engine, tmp_path: Path, flags: str, command: str) -> None:
    ours, theirs = (run(engine, tmp_path / "host", flags, command) for engine in (onggi, dockerd))
    assert ours == theirs


def test_volumes_of_these_tests_go(onggi: Engine, dockerd: Engine) -> None:
    """One engine serves the whole run: what was made here is taken away."""
    for engine in (onggi, dockerd):
        for volume in engine.api("GET", "/volumes")["Volumes"] or ():
            engine.request("DELETE", f"/volumes/{volume['Name']}")

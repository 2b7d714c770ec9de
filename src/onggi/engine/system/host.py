"""Facts about the machine, read from /proc and /etc; those that cannot change are read once."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import NamedTuple

from onggi.errors import Unavailable
from onggi.runtime.cgroups import Layout, detect

# uname(2) machine -> Go's GOARCH.
_GOARCH = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}


class Distribution(NamedTuple):
    name: str
    version: str


@cache
def distribution() -> Distribution:
    """Name and version of the operating system: os-release(5)."""
    facts: dict[str, str] = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    key, equals, value = line.strip().partition("=")
                    if equals:
                        facts[key] = value.strip("\"'")
            break
        except FileNotFoundError:
            continue
    return Distribution(facts.get("PRETTY_NAME", "unknown"), facts.get("VERSION_ID", ""))


def kernel() -> str:
    return os.uname().release


def machine() -> str:
    """As uname(2) says it: x86_64."""
    return os.uname().machine


def goarch() -> str:
    """As Go says it: amd64."""
    return _GOARCH.get(machine(), machine())


def hostname() -> str:
    return socket.gethostname()


def cpus() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


@cache
def memory_bytes() -> int:
    """MemTotal of proc_meminfo(5)."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def ipv4_forwarding() -> bool:
    try:
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
            return file.read().strip() == "1"
    except FileNotFoundError:
        return False


@cache
def seccomp_works() -> bool:
    """Does the kernel filter system calls? seccomp(2): the file is there if it does."""
    return os.path.exists("/proc/sys/kernel/seccomp/actions_avail")


@cache
def cgroup_version() -> str:
    """Empty on a machine that mounts none."""
    try:
        return "2" if detect().mode == "v2" else "1"
    except Unavailable:
        return ""


class Limits(NamedTuple):
    """Which limits the machine's control groups can enforce; the names are those of `docker info`."""

    version: str
    memory: bool
    swap: bool
    oom_kill_disable: bool
    cpu_period: bool
    cpu_shares: bool
    cpuset: bool
    pids: bool


@cache
def limits(layout: Layout) -> Limits:
    """What the engine's groups can do; the version is the machine's, whether there are any or not."""
    memory_v1 = layout.v1.get("memory", "")
    return Limits(
        version=cgroup_version(),
        memory=layout.has("memory"),
        swap=_swap(layout),
        oom_kill_disable=bool(memory_v1),
        cpu_period=layout.has("cpu"),
        cpu_shares=layout.has("cpu"),
        cpuset=layout.has("cpuset"),
        pids=layout.has("pids"),
    )


def _swap(layout: Layout) -> bool:
    if "memory" in layout.v1:
        return os.path.exists(f"{layout.v1['memory']}/memory.memsw.limit_in_bytes")
    # The root group has no memory.swap.max; the kernel accounts swap where it has swap at all.
    return layout.has("memory") and os.path.exists("/proc/swaps")


def filesystem(path: str) -> str:
    """The type of the file system that holds a path, from the mount table: proc_pid_mountinfo(5)."""
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            where = before.split()[4].rstrip("/")
            if (path == where or path.startswith(where + "/")) and len(where) >= len(best):
                best, kind = where, after.split()[0]
    return kind

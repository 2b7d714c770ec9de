"""Where each controller lives on this machine.

    v1      every controller on a hierarchy of its own (or joined: cpu,cpuacct)
    v2      one hierarchy
    hybrid  v1 controllers, and a v2 hierarchy that has the rest, or none
    none    an ordinary user's engine that no group was delegated to

A v1 hierarchy may carry several controllers: its directory is then one for all of them.
Source: cgroups(7); Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os

from onggi.errors import InvalidParameter, Unavailable

V1_CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "perf_event",
    "net_cls", "net_prio", "rdma", "misc",
)  # fmt: skip


ENGINE = "onggi-engine"  # of a user's engine: the group of its own processes


class Layout:
    """The machine's hierarchies. `v1` maps a controller to its mount point; `unified` is v2's, or None."""

    __slots__ = ("filters_devices", "unified", "unified_controllers", "v1")

    def __init__(self, v1: dict[str, str], unified: str | None, unified_controllers: tuple[str, ...]) -> None:
        self.v1 = v1
        self.filters_devices = True
        self.unified = unified
        self.unified_controllers = unified_controllers

    @property
    def mode(self) -> str:
        """v1, v2, hybrid or none."""
        if not self.v1 and self.unified is None:
            return "none"
        if not self.v1:
            return "v2"
        return "v1" if self.unified is None else "hybrid"

    def directory(self, controller: str, path: str) -> str:
        """The directory of `path` in the hierarchy that has `controller`. Raises Unavailable where none
        has.
        """
        if controller in self.v1:
            return self.v1[controller] + path
        if self.unified is not None and controller in self.unified_controllers:
            return self.unified + path
        raise Unavailable(f"cgroup controller {controller} is not available on this machine")

    def has(self, controller: str) -> bool:
        return controller in self.v1 or controller in self.unified_controllers

    def v1_roots(self) -> list[str]:
        """The mount points of all v1 hierarchies, each once."""
        return list(dict.fromkeys(self.v1.values()))

    def weight_file(self) -> str:
        """What the proportional weight of block devices is called here: BFQ's file where the kernel has
        it.
        """
        if "blkio" in self.v1:
            bfq = os.path.exists(f"{self.v1['blkio']}/blkio.bfq.io_service_bytes")
            return "blkio.bfq.weight" if bfq else "blkio.weight"
        # The files are in no root: any other group shows which the kernel has.
        root = self.unified or ""
        with os.scandir(root) as entries:
            groups = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        return (
            "io.bfq.weight"
            if any(os.path.exists(f"{group}/io.bfq.weight") for group in groups)
            else "io.weight"
        )


def detect(mountinfo: str = "/proc/self/mountinfo") -> Layout:
    """Read the layout from the mount table. Raises Unavailable where no cgroup file system is mounted."""
    v1: dict[str, str] = {}
    unified: str | None = None
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            if not after.startswith("cgroup"):
                continue
            fstype, _, options = after.split()[:3]
            where = _unescape(before.split()[4])
            if fstype == "cgroup2":
                unified = unified or where
            elif fstype == "cgroup":
                for option in options.split(","):
                    if option in V1_CONTROLLERS or option.startswith("name="):
                        v1.setdefault(option, where)
    if not v1 and unified is None:
        raise Unavailable("cgroups: no cgroup file system is mounted")
    controllers: tuple[str, ...] = ()
    if unified is not None:
        with open(f"{unified}/cgroup.controllers", encoding="ascii") as file:
            controllers = tuple(file.read().split())
    return Layout(v1, unified, controllers)


def own() -> Layout:
    """What an ordinary user may use: the group that was delegated to him, whose `ENGINE` his engine is in
    (`enter_own`); else nothing. His engine may not load programs that filter devices.
    """
    group = _own_group()
    if not group.endswith(f"/{ENGINE}"):
        return Layout({}, None, ())
    group = group.removesuffix(f"/{ENGINE}")
    with open(f"{group}/cgroup.controllers", encoding="ascii") as file:
        found = Layout({}, group, tuple(file.read().split()))
    found.filters_devices = False
    return found


def enter_own() -> None:
    """Move this process to `ENGINE`, below the v2 group that it is in, where that was delegated to it alone
    (Documentation/admin-guide/cgroup-v2.rst, "Delegation"); else stay.

    A group with a process in it passes no controllers on, so nobody else may be in it.
    """
    group = _own_group()
    needed = ("", "cgroup.procs", "cgroup.subtree_control")
    if not group or group.endswith(f"/{ENGINE}"):
        return
    if not all(os.access(f"{group}/{name}", os.W_OK) for name in needed):
        return
    if _text(f"{group}/cgroup.procs").split() != [str(os.getpid())]:
        return
    os.makedirs(f"{group}/{ENGINE}", exist_ok=True)
    with open(f"{group}/{ENGINE}/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")


def _own_group() -> str:
    """The directory of this process's v2 group; empty on a machine with v1, and in the root group."""
    try:
        layout = detect()
    except Unavailable:
        return ""
    path = _text("/proc/self/cgroup").strip().partition("::")[2].rstrip("/")
    return f"{layout.unified}{path}" if layout.mode == "v2" and path else ""


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def checked(path: str) -> str:
    """`path` in its plain form: absolute, no empty or dot components. Raises InvalidParameter for `..`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in path or "\n" in path:
        raise InvalidParameter(f"linux.cgroupsPath: {path!r} is not a path below the cgroup root")
    return "/" + "/".join(parts)


def _unescape(text: str) -> str:
    """Undo the octal escapes of mountinfo."""
    if "\\" not in text:
        return text
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])

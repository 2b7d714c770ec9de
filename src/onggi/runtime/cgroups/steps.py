"""A container's cgroup as steps of its plan (spawn/plan.py), for the parent of the container's process.

    host     mkdir, write, cgroup-device      the group, its limits, its device rules
    tasks    v1: the files into which the container's first process writes itself
    born     v2: the directory of the group that it is made in
    undo     rmdir

Who is moved by somebody else, or moves with all its threads, waits for an RCU grace period (10 ms for the
first hierarchy: cgroup_attach_lock in the kernel's cgroup.c takes a per-cpu semaphore for writing). A thread
that writes "0" into `tasks` moves itself alone and does not (5.13), nor does who is born in a group (5.7).

A hybrid machine's v2 hierarchy is used only where a limit lives there.
"""

from __future__ import annotations

import os

from onggi.errors import InvalidParameter
from onggi.runtime.cgroups import devices as device_rules
from onggi.runtime.cgroups import limits_v1, limits_v2
from onggi.runtime.cgroups.layout import Layout, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Step = tuple[Any, ...]


class CgroupSteps:
    """What a plan needs of a cgroup; `directories` are all that the container joins."""

    __slots__ = ("born", "directories", "host", "tasks", "undo")

    def __init__(
        self, host: list[Step], tasks: list[str], born: str, undo: list[Step], directories: list[str]
    ) -> None:
        self.host = host
        self.tasks = tasks
        self.born = born
        self.undo = undo
        self.directories = directories


def compile(
    layout: Layout, path: str, resources: dict[str, Any], devices: Iterable[dict[str, Any]] = ()
) -> CgroupSteps:
    """Steps for `linux.resources`; `devices` are rules that come after the resource's own (DEFAULT_RULES).

    Raises InvalidParameter with the path of what is wrong, Unavailable for a controller that is missing.
    """
    path = checked(path)
    if layout.mode == "none":
        return CgroupSteps([], [], "", [], [])
    rules = [*(resources.get("devices") or ()), *devices]
    if layout.mode == "v2":
        return _v2(layout, path, resources, rules)
    return _v1(layout, path, resources, rules)


def join(layout: Layout, path: str) -> tuple[list[str], str]:
    """(tasks, born) of one more process in a group that exists."""
    if layout.mode == "none":
        return [], ""
    from onggi.runtime.cgroups.group import directories  # it imports this module's neighbours

    return _joins(layout, directories(layout, checked(path)))


def _v1(layout: Layout, path: str, resources: dict[str, Any], rules: list[dict[str, Any]]) -> CgroupSteps:
    limits: list[tuple[str, str]] = []
    directories = [root + path for root in layout.v1_roots()]
    for controller, file, text in limits_v1.writes(resources, layout):
        directory = layout.directory(controller, path)
        if directory not in directories:
            directories.append(directory)
        if directory.startswith(f"{layout.unified}/"):
            file = file.replace("limit_in_bytes", "max")
        limits.append((f"{directory}/{file}", text))
    host = _directories(layout, directories, path)
    if layout.unified is not None and directories[-1].startswith(f"{layout.unified}/"):
        host += _delegation(layout, path, ["hugetlb"])
    if "cpuset" in layout.v1:
        host += _cpuset(layout.v1["cpuset"], path)
    if "devices" in layout.v1:
        directory = layout.v1["devices"] + path
        limits += [(f"{directory}/{file}", line) for file, line in device_rules.lines(rules)]
    host += [("write", file, text) for file, text in limits]
    return _steps(layout, host, directories)


def _cpuset(root: str, path: str) -> list[Step]:
    """Give cpus and mems to every level that has none: no process can enter an empty v1 cpuset.

    The values are those of the nearest group above that has them, read now.
    """
    steps: list[Step] = []
    for file in ("cpuset.cpus", "cpuset.mems"):
        inherited = _text(f"{root}/{file}")
        for level in _ancestry(path):
            own = _text(f"{root}{level}/{file}")
            if not own and inherited:
                steps.append(("write", f"{root}{level}/{file}", inherited))
            inherited = own or inherited
    return steps


def _text(path: str) -> str:
    """Six of them for each container: a file object would cost three times as much."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.read(fd, 4096).decode("ascii").strip()
    finally:
        os.close(fd)


def _v2(layout: Layout, path: str, resources: dict[str, Any], rules: list[dict[str, Any]]) -> CgroupSteps:
    directory = f"{layout.unified}{path}"
    limits: list[tuple[str, str]] = []
    for controller, file, text in limits_v2.writes(resources, layout):
        if controller not in layout.unified_controllers and controller != "cgroup":
            raise InvalidParameter(f"cgroup controller {controller} is not available: cannot set {file}")
        limits.append((f"{directory}/{file}", text))
    # The parents must exist before they pass controllers on, and pass them on before the group has its files.
    host = _directories(layout, [directory], path)
    host += _delegation(layout, path, layout.unified_controllers)
    host += [("write", file, text) for file, text in limits]
    if layout.filters_devices:
        host.append(("cgroup-device", directory, device_rules.program(rules)))
    return _steps(layout, host, [directory])


def _steps(layout: Layout, host: list[Step], directories: list[str]) -> CgroupSteps:
    undo: list[Step] = [("rmdir", directory) for directory in directories]
    return CgroupSteps(host, *_joins(layout, directories), undo, directories)


def _joins(layout: Layout, directories: list[str]) -> tuple[list[str], str]:
    unified = f"{layout.unified}/" if layout.unified is not None else "\0"
    born = next((directory for directory in directories if directory.startswith(unified)), "")
    return [f"{directory}/tasks" for directory in directories if directory != born], born


def _directories(layout: Layout, directories: list[str], path: str) -> list[Step]:
    """mkdir for each level of each directory."""
    return [
        ("mkdir", directory[: len(directory) - len(path)] + level)
        for directory in directories
        for level in _ancestry(path)
    ]


def _ancestry(path: str) -> list[str]:
    """/a, /a/b, /a/b/c"""
    parts = path.split("/")
    return ["/".join(parts[: count + 1]) for count in range(1, len(parts))]


def _delegation(layout: Layout, path: str, controllers: Iterable[str]) -> list[Step]:
    words = " ".join(f"+{name}" for name in controllers)
    parents = ["", *_ancestry(path)[:-1]]
    return [
        ("write", f"{layout.unified}{parent}/cgroup.subtree_control", words) for parent in parents if words
    ]

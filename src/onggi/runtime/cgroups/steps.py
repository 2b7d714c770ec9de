"""A container's cgroup as steps of its plan.

    mkdir_cgroup    [dir, ...]                 make each with its parents; existing is fine
    inherit_cpuset  root, [dir, ...]           v1: from the outside in, copy the parent's cpus and mems
    write           [(path, text), ...]        limits, in order
    device_filter   dir, program               v2: load and attach the BPF program (kernel/bpf.py)
    join_cgroup     [dir, ...]                 the child's pid into each cgroup.procs
    rmdir_cgroup    [dir, ...]                 inner groups first; EBUSY is waited for, absent is fine

A hybrid machine's v2 hierarchy is used only where a limit lives there: joining it costs 1.8 ms, all eight
v1 hierarchies together 0.2 ms (they favour writers; v2 waits for a grace period, cgroup_favordynmods).
"""

from __future__ import annotations

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

    __slots__ = ("attach", "directories", "host", "undo")

    def __init__(
        self, host: list[Step], attach: list[Step], undo: list[Step], directories: list[str]
    ) -> None:
        self.host = host
        self.attach = attach
        self.undo = undo
        self.directories = directories


def compile(
    layout: Layout, path: str, resources: dict[str, Any], devices: Iterable[dict[str, Any]] = ()
) -> CgroupSteps:
    """Steps for `linux.resources`; `devices` are rules that come after the resource's own (DEFAULT_RULES).

    Raises InvalidParameter with the path of what is wrong, Unavailable for a controller that is missing.
    """
    path = checked(path)
    rules = [*(resources.get("devices") or ()), *devices]
    if layout.mode == "v2":
        return _v2(layout, path, resources, rules)
    return _v1(layout, path, resources, rules)


def join(layout: Layout, path: str) -> list[Step]:
    """Steps that bring one more process into a group that exists."""
    from onggi.runtime.cgroups.group import directories  # it imports this module's neighbours

    return [("join_cgroup", directories(layout, checked(path)))]


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
    host: list[Step] = [("mkdir_cgroup", directories)]
    if layout.unified is not None and directories[-1].startswith(f"{layout.unified}/"):
        host.append(("write", _delegation(layout, path, ["hugetlb"])))
    if "cpuset" in layout.v1:
        root = layout.v1["cpuset"]
        host.append(("inherit_cpuset", root, [root + above for above in _ancestry(path)]))
    if "devices" in layout.v1:
        directory = layout.v1["devices"] + path
        limits += [(f"{directory}/{file}", line) for file, line in device_rules.lines(rules)]
    host.append(("write", limits))
    return CgroupSteps(host, [("join_cgroup", directories)], [("rmdir_cgroup", directories)], directories)


def _v2(layout: Layout, path: str, resources: dict[str, Any], rules: list[dict[str, Any]]) -> CgroupSteps:
    directory = f"{layout.unified}{path}"
    limits: list[tuple[str, str]] = []
    for controller, file, text in limits_v2.writes(resources, layout):
        if controller not in layout.unified_controllers and controller != "cgroup":
            raise InvalidParameter(f"cgroup controller {controller} is not available: cannot set {file}")
        limits.append((f"{directory}/{file}", text))
    # The parents must exist before they pass controllers on, and pass them on before the group has its files.
    host: list[Step] = [
        ("mkdir_cgroup", [directory]),
        ("write", _delegation(layout, path, layout.unified_controllers)),
        ("write", limits),
        ("device_filter", directory, device_rules.program(rules)),
    ]
    return CgroupSteps(host, [("join_cgroup", [directory])], [("rmdir_cgroup", [directory])], [directory])


def _ancestry(path: str) -> list[str]:
    """/a, /a/b, /a/b/c"""
    parts = path.split("/")
    return ["/".join(parts[: count + 1]) for count in range(1, len(parts))]


def _delegation(layout: Layout, path: str, controllers: Iterable[str]) -> list[tuple[str, str]]:
    words = " ".join(f"+{name}" for name in controllers)
    parents = ["", *_ancestry(path)[:-1]]
    return (
        [(f"{layout.unified}{parent}/cgroup.subtree_control", words) for parent in parents] if words else []
    )

"""Control groups, v1, v2 and hybrid: limits as steps before the start, and a handle on the group afterwards.

    detect() -> Layout                                        which controllers there are, and where each is
    own() -> Layout                                           the same for an ordinary user: what is delegated
    compile(layout, path, resources, devices) -> CgroupSteps  host and undo steps of a plan
    open(layout, path) -> Cgroup                              pids, freeze, thaw, kill, update, stats,
    oom_events, remove

`path` is absolute below the hierarchies' mount points (`/onggi/ID`); nothing outside it is ever changed,
except that missing parents are made and, on v2, that they pass controllers down.
"""

from __future__ import annotations

from onggi.runtime.cgroups.absent import Absent
from onggi.runtime.cgroups.devices import DEFAULT_RULES
from onggi.runtime.cgroups.group import Cgroup
from onggi.runtime.cgroups.group import open_group as open
from onggi.runtime.cgroups.layout import Layout, detect, own
from onggi.runtime.cgroups.steps import CgroupSteps, compile, join

__all__ = [
    "DEFAULT_RULES",
    "Absent",
    "Cgroup",
    "CgroupSteps",
    "Layout",
    "compile",
    "detect",
    "join",
    "open",
    "own",
]

"""`linux.namespaces`, id mappings and time offsets (config-linux.md)."""

from __future__ import annotations

from onggi.kernel.namespaces import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from onggi.runtime.compile.document import field, objects, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = {
    "user": CLONE_NEWUSER, "mount": CLONE_NEWNS, "pid": CLONE_NEWPID, "network": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS, "cgroup": CLONE_NEWCGROUP, "time": CLONE_NEWTIME,
}  # fmt: skip
_BY_STEP = CLONE_NEWCGROUP | CLONE_NEWTIME


class Namespaces:
    """`new` and `joined` are CLONE_NEW* sets; `join` is what the plan opens."""

    __slots__ = ("join", "joined", "new")

    def __init__(self, new: int, join: list[tuple[str, int]]) -> None:
        self.new = new
        self.join = join
        self.joined = 0
        for _, flag in join:
            self.joined |= flag

    @property
    def listed(self) -> int:
        return self.new | self.joined

    @property
    def clone(self) -> int:
        return self.new & ~_BY_STEP


def namespaces(linux: dict[str, Any]) -> Namespaces:
    """Raises InvalidParameter: unknown type, type twice, a path that is not absolute."""
    new, join, seen = 0, [], 0
    for index, entry in enumerate(objects(linux, "namespaces", "linux")):
        where = f"linux.namespaces[{index}]"
        kind = field(entry, "type", str, "", where)
        flag = FLAGS.get(kind)
        if flag is None:
            raise wrong(f"{where}.type", kind, "is not a kind of namespace")
        if seen & flag:
            raise wrong(f"{where}.type", kind, "is listed twice")
        seen |= flag
        path = field(entry, "path", str, "", where)
        if not path:
            new |= flag
        elif not path.startswith("/"):
            raise wrong(f"{where}.path", path, "is not an absolute path")
        else:
            join.append((path, flag))
    return Namespaces(new, join)


def id_map(document: dict[str, Any], key: str, where: str) -> str:
    """Mappings in the form of /proc/PID/uid_map; empty where there are none."""
    lines = []
    for index, entry in enumerate(objects(document, key, where)):
        here = f"{where}.{key}[{index}]"
        numbers = [field(entry, name, int, None, here) for name in ("containerID", "hostID", "size")]
        if None in numbers or min(numbers) < 0 or numbers[2] == 0:
            raise wrong(here, entry, "is not an id mapping")
        lines.append("{} {} {}".format(*numbers))
    return "\n".join(lines) + "\n" if lines else ""


def time_offsets(linux: dict[str, Any]) -> str:
    """Lines of /proc/PID/timens_offsets."""
    lines = []
    for clock, entry in field(linux, "timeOffsets", dict, {}, "linux").items():
        where = f"linux.timeOffsets.{clock}"
        if clock not in ("monotonic", "boottime") or not isinstance(entry, dict):
            raise wrong(where, entry, "is not an offset of the monotonic or boottime clock")
        seconds = field(entry, "secs", int, 0, where)
        lines.append(f"{clock} {seconds} {field(entry, 'nanosecs', int, 0, where)}")
    return "\n".join(lines) + "\n" if lines else ""

"""Which users and groups there are in this process's user namespace (user_namespaces(7))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Extents = list[tuple[int, int]]

UIDS, GIDS = "uid_map", "gid_map"
_read: dict[str, Extents] = {}
_groups_denied: list[bool] = []
COUNT = (1 << 32) - 1  # user_namespaces(7): the last number is no id
LINES = 340  # of a map, the same page


def extents(kind: str) -> Extents:
    """(first, count) of the ids that are there, in the kernel's order; they do not change."""
    if kind not in _read:
        with open(f"/proc/self/{kind}", encoding="ascii") as file:
            lines = [line.split() for line in file]
        _read[kind] = [(int(first), int(count)) for first, _, count in lines]
    return _read[kind]


def initial() -> bool:
    """Whether all ids are there: the host's own namespace, or one as large."""
    return sum(count for _, count in extents(UIDS)) >= COUNT


def single() -> bool:
    """Whether root is the only user, or the only group."""
    return any(extents(kind) == [(0, 1)] for kind in (UIDS, GIDS))


def last(kind: str) -> int:
    """The last id of those that follow each other from 0 on."""
    end = 0
    for first, count in sorted(extents(kind)):
        if first == end:
            end += count
    return end - 1


def groups_denied() -> bool:
    """Whether nobody here may call setgroups(2): a single group, mapped without rights over it."""
    if not _groups_denied:
        with open("/proc/self/setgroups", encoding="ascii") as file:
            _groups_denied.append(file.read().strip() == "deny")
    return _groups_denied[0]


def has(kind: str, number: int) -> bool:
    return any(first <= number < first + count for first, count in extents(kind))

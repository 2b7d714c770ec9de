"""/dev: the devices and links that every container has, and `linux.devices` (config-linux.md)."""

from __future__ import annotations

import os
import stat

from onggi.kernel.ids import COUNT
from onggi.runtime.compile.document import field, objects, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.spawn.plan import Step

_DEFAULT = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
)
MAJOR_MAX, MINOR_MAX = (1 << 12) - 1, (1 << 20) - 1  # makedev(3)
_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def devices(linux: dict[str, Any], *, bind: bool, fresh: bool) -> list[Step]:
    """Steps for all nodes. `bind`: mknod is not ours to do; `fresh`: /dev is a new tmpfs of the
    container's.
    """
    found: dict[str, Step] = {}
    if fresh:
        for name, major, minor in _DEFAULT:
            found[f"/dev/{name}"] = _node(f"/dev/{name}", 0o20666, os.makedev(major, minor), 0, 0, bind=bind)
    for index, entry in enumerate(objects(linux, "devices", "linux")):
        where = f"linux.devices[{index}]"
        step = _device(entry, where, bind)
        found[step[1] if step[0] == "node" else step[2]] = step
    return list(found.values())


def links(*, fresh: bool) -> list[Step]:
    return [("link", text, path) for text, path in _LINKS] if fresh else []


def _device(entry: dict[str, Any], where: str, bind: bool) -> Step:
    path = field(entry, "path", str, "", where)
    if not path.startswith("/"):
        raise wrong(f"{where}.path", path, "is not an absolute path")
    kind = field(entry, "type", str, "", where)
    if kind not in _TYPES:
        raise wrong(f"{where}.type", kind, "is not one of c, b, u, p")
    major, minor = field(entry, "major", int, 0, where), field(entry, "minor", int, 0, where)
    mode = field(entry, "fileMode", int, 0o666, where)
    uid, gid = field(entry, "uid", int, 0, where), field(entry, "gid", int, 0, where)
    if min(major, minor, mode, uid, gid) < 0:
        raise wrong(where, entry, "has a negative number")
    if major > MAJOR_MAX or minor > MINOR_MAX or max(uid, gid) >= COUNT:
        raise wrong(where, entry, "has a number that the kernel does not have")
    return _node(path, _TYPES[kind] | mode & 0o7777, os.makedev(major, minor), uid, gid, bind=bind)


def _host_node(path: str, mode: int, device: int) -> str:
    """Where the host has a device: under the same name, else under the kernel's own (devtmpfs)."""
    if _is(path, mode, device):
        return path
    kind = "char" if stat.S_ISCHR(mode) else "block"
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(f"/sys/dev/{kind}/{number}/uevent", encoding="ascii") as file:
            names = [line[8:].rstrip("\n") for line in file if line.startswith("DEVNAME=")]
    except OSError:
        names = []
    for name in names:
        if _is(f"/dev/{name}", mode, device):
            return f"/dev/{name}"
    raise wrong("linux.devices", path, f"is {kind} {number}, which the host's /dev does not have")


def _is(path: str, mode: int, device: int) -> bool:
    try:
        facts = os.stat(path)
    except OSError:
        return False
    return facts.st_rdev == device and stat.S_IFMT(facts.st_mode) == stat.S_IFMT(mode)


def _node(path: str, mode: int, device: int, uid: int, gid: int, *, bind: bool) -> Step:
    if bind and not stat.S_ISFIFO(mode):
        return ("bind-node", _host_node(path, mode, device), path, mode, device)
    return ("node", path, mode, device, uid, gid)

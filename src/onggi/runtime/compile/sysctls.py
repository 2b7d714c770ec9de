"""`linux.sysctl`: only what belongs to a namespace of the container's own (sysctl(2), namespaces(7))."""

from __future__ import annotations

from onggi.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS
from onggi.runtime.compile.document import field, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.spawn.plan import Step

_IPC = {"msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"}


def sysctls(linux: dict[str, Any], listed: int, hostname: str) -> list[Step]:
    """Raises InvalidParameter for one that would change the host."""
    steps: list[Step] = []
    for name, value in field(linux, "sysctl", dict, {}, "linux").items():
        where = f"linux.sysctl.{name}"
        if not isinstance(value, str):
            raise wrong(where, value, "is not a string")
        path = _path(name)
        if ".." in path.split("/") or path.startswith("/"):
            raise wrong(where, value, "is not the name of a sysctl")
        flag = _namespace(path)
        if not flag:
            raise wrong(where, value, "is not in a separate kernel namespace")
        if not listed & flag:
            raise wrong(where, value, "is not allowed in the host's namespace")
        if path == "kernel/hostname" and hostname not in ("", value):
            raise wrong(where, value, f"contradicts hostname {hostname!r}")
        steps.append(("sysctl", path, value))
    return steps


def _path(name: str) -> str:
    """`net.ipv4.conf.eth0/1.rp_filter`: where the first separator is a dot, a slash means a dot,
    sysctl(8).
    """
    first = next((char for char in name if char in "./"), ".")
    return name.translate({46: 47, 47: 46}) if first == "." else name


def _namespace(path: str) -> int:
    if path.startswith("net/"):
        return CLONE_NEWNET
    if path.startswith("fs/mqueue/"):
        return CLONE_NEWIPC
    if path in ("kernel/domainname", "kernel/hostname"):
        return CLONE_NEWUTS
    top, _, name = path.partition("/")
    return CLONE_NEWIPC if top == "kernel" and name in _IPC else 0

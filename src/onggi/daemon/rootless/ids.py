"""Which ids an ordinary user's containers have: himself as root, and his subordinate ids (subuid(5)).

    inside 0        the user
    inside 1...     his lines of /etc/subuid and /etc/subgid, one after another

The kernel lets him map nobody but himself; newuidmap(1) and newgidmap(1) map what those files give him. Where
either lacks, root is the only id inside.
"""

from __future__ import annotations

import os
import pwd
import shutil

from onggi.errors import System
from onggi.kernel.ids import LINES
from onggi.spec import subids
from onggi.spec.subids import SUBGID, SUBUID, Extent

TOOLS_PATH = "/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin"


class Ids:
    """The maps, lines of `inside outside count`; `why_single` says what a single id is due to, or nothing."""

    __slots__ = ("gids", "uids", "why_single")

    def __init__(self, uids: tuple[Extent, ...], gids: tuple[Extent, ...], why_single: str) -> None:
        self.uids = uids
        self.gids = gids
        self.why_single = why_single


def of_user(uid: int, gid: int, name: str) -> Ids:
    """What this user may map. Raises InvalidParameter for a line that is no range."""
    uids, gids = (subids.extents(path, name, uid, inside=1, most=LINES - 1) for path in (SUBUID, SUBGID))
    lacking = [path for path, found in ((SUBUID, uids), (SUBGID, gids)) if not found]
    tools = [tool for tool in ("newuidmap", "newgidmap") if shutil.which(tool, path=TOOLS_PATH) is None]
    why = ""
    if lacking:
        why = f"{' and '.join(lacking)} give {name} no ids: usermod --add-subuids and --add-subgids do"
    elif tools:
        why = f"not installed: {' and '.join(tools)} (package uidmap)"
    if why:
        return Ids(((0, uid, 1),), ((0, gid, 1),), why)
    return Ids(((0, uid, 1), *uids), ((0, gid, 1), *gids), "")


def write(pid: int, ids: Ids) -> None:
    """Give a process that has just made its user namespace these ids. Raises System."""
    if ids.why_single:
        for file, text in (
            ("uid_map", _line(ids.uids[0])),
            ("setgroups", "deny"),  # user_namespaces(7): else nobody may write gid_map without rights
            ("gid_map", _line(ids.gids[0])),
        ):
            with open(f"/proc/{pid}/{file}", "w", encoding="ascii") as target:
                target.write(text)
        return
    _tool("newuidmap", pid, ids.uids)
    _tool("newgidmap", pid, ids.gids)


def _line(extent: Extent) -> str:
    return "{} {} {}".format(*extent)


def _tool(name: str, pid: int, extents: tuple[Extent, ...]) -> None:
    path = shutil.which(name, path=TOOLS_PATH)
    assert path is not None, name
    words = [name, str(pid), *(str(number) for extent in extents for number in extent)]
    status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(path, words, os.environ), 0)[1])
    if status:
        raise System(
            f"{name} refused to map the ids of {SUBUID if name == 'newuidmap' else SUBGID} "
            f"(exit status {status}): {path} must be setuid root or have its file capability"
        )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

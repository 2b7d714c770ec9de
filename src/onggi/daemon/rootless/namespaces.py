"""The namespaces of an ordinary user's engine: user, mount and network.

    exec_root/namespaces     {"boot": boot id, "user": inode, "mnt": inode, "net": inode, "single": bool}

Whoever lives in them keeps them: the engine, its shims, resolver and relay. No process is there for that
alone. An engine that comes back looks through /proc for a process that is in exactly the three of the note,
and joins it. Where only containers are left (somebody killed every shim), it joins their user namespace, to
have rights over them, and makes the other two anew. Nobody is left: it makes all three.

A number of a namespace is used again after its end, but not all three of them together by somebody else's;
and another user namespace of this user's (podman's) would do as well.

Joining needs no right but being the user who made them: he has all capabilities over a user namespace of his
(user_namespaces(7)), so /proc/PID/ns of a shim that is not dumpable opens for him as well.
"""

from __future__ import annotations

import errno
import os

from onggi import jsontext
from onggi.errors import Unavailable
from onggi.kernel import mounts, namespaces
from onggi.kernel.namespaces import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = (CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET)  # in the order in which they are joined
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_USERNS_LIMIT = "/proc/sys/user/max_user_namespaces"
_SWITCHES = (
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),  # Debian before 11, Arch
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),  # Ubuntu since 23.10
)


class Found:
    """Somebody who lives in the noted namespaces: in all three (`whole`), or in the user namespace alone."""

    __slots__ = ("pid", "single", "whole")

    def __init__(self, pid: int, *, whole: bool, single: bool) -> None:
        self.pid = pid
        self.whole = whole
        self.single = single  # root is the only id in there


def make(kinds: int = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) -> None:
    """Leave the host's for new ones. Raises Unavailable where this host does not let a user do so."""
    try:
        namespaces.unshare(kinds)
    except OSError as error:
        raise Unavailable(_refused(error)) from None


def _refused(error: OSError) -> str:
    said = f"this host does not let an ordinary user make namespaces ({error.strerror})"
    if error.errno == errno.ENOSPC:
        return f"{said}: {_USERNS_LIMIT} is {_text(_USERNS_LIMIT)}"
    switches = [f"{path} is {value}" for path, value in _SWITCHES if _text(path) == value]
    return f"{said}: {', '.join(switches)}" if switches else said


def furnish() -> None:
    """The mount namespace of fresh namespaces; called as root inside. Raises Unavailable.

    What the host mounts later is seen inside, never the other way (MS_SLAVE).
    """
    try:
        mounts.mount(None, "/", None, mounts.MS_SLAVE | mounts.MS_REC)
    except OSError as error:
        raise Unavailable(
            _refused(error)
        ) from None  # AppArmor takes the capabilities away, not the namespace


def note(path: str, *, single: bool) -> None:
    """Write which namespaces this process is in; atomic."""
    document = {"boot": _text(_BOOT_ID), "single": single, **_of("self")}
    beside = f"{path}.{os.getpid()}"
    with open(beside, "w", encoding="ascii") as file:
        file.write(jsontext.dumps(document))
    os.rename(beside, path)


def find(path: str) -> Found | None:
    """Whoever lives in the namespaces of the note; who is in all three before who is not."""
    try:
        with open(path, "rb") as file:
            noted = jsontext.loads(file.read())
        wanted = {FILES[kind]: noted[FILES[kind]] for kind in KINDS}
        single = bool(noted["single"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if noted.get("boot") != _text(_BOOT_ID):
        return None
    guest = None
    for entry in os.listdir("/proc"):
        own = _of(entry) if entry.isdigit() else {}
        if own == wanted:
            return Found(int(entry), whole=True, single=single)
        if own.get("user") == wanted["user"]:
            guest = Found(int(entry), whole=False, single=single)
    return guest


def _of(pid: str) -> dict[str, Any]:
    """Inode numbers by kind; none of a process that is not ours, or has ended."""
    try:
        return {FILES[kind]: os.stat(f"/proc/{pid}/ns/{FILES[kind]}").st_ino for kind in KINDS}
    except OSError:
        return {}


def join(found: Found) -> None:
    """Enter the namespaces, and make those that are gone. Raises OSError, Unavailable."""
    kinds = KINDS if found.whole else KINDS[:1]
    opened = [(namespaces.open_namespace(found.pid, kind), kind) for kind in kinds]
    for fd, kind in opened:
        namespaces.setns(fd, kind)
        os.close(fd)
    if not found.whole:
        make(CLONE_NEWNS | CLONE_NEWNET)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""

"""Who a container's process is: `name[:group]` by the /etc/passwd and /etc/group inside its root.

Docker's rules (moby/sys/user):
    ""            uid 0, with root's home and groups
    name          must be in passwd; its gid, its home, and every group that lists it
    number        a uid; where passwd has it, as by name, else gid 0 and home "/"
    x:group       that group alone: no others; a number need not be in the group file
Files are read through openat2(RESOLVE_IN_ROOT) and only to a bound: they are the image's, so hostile.
"""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from onggi.errors import InvalidParameter
from onggi.images.tree import RESOLVE
from onggi.kernel.files import openat2

MAX_BYTES = 8 << 20
MAX_LINE = 1 << 16
MAX_ID = (1 << 31) - 1


class Account(msgspec.Struct, frozen=True):
    """Ids and home directory of a process; `groups` are the additional ones."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class _User(msgspec.Struct, frozen=True):
    name: str
    uid: int
    gid: int
    home: str


class _Group(msgspec.Struct, frozen=True):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(root_fd: int, user: str) -> Account:
    """The account for `user`, `uid`, `user:group`... Raises InvalidParameter with Docker's wording."""
    who, _, group = user.partition(":")
    number = _number(who)
    found = None
    for entry in _users(root_fd):
        if entry.uid == (0 if not who else number) if not who or number is not None else entry.name == who:
            found = entry
            break
    if found is not None:
        uid, gid, home, name = found.uid, found.gid, found.home or "/", found.name
    elif who and number is None:
        raise InvalidParameter(f"unable to find user {who}: no matching entries in passwd file")
    else:
        uid, gid, home, name = _in_range(number or 0), 0, "/", ""
    if group:
        return Account(uid, _group_id(root_fd, group), (), home)
    groups = tuple(entry.gid for entry in _groups(root_fd) if name and name in entry.members)
    return Account(uid, gid, groups, home)


def resolve_groups(root_fd: int, groups: list[str] | tuple[str, ...]) -> tuple[int, ...]:
    """The ids of additional groups (`--group-add`), names or numbers. Raises InvalidParameter."""
    known = {entry.name: entry.gid for entry in reversed(_groups(root_fd))} if groups else {}
    ids: list[int] = []
    for group in groups:
        number = known.get(group, _number(group))
        if number is None:
            raise InvalidParameter(f"Unable to find group {group}: no matching entries in group file")
        if _in_range(number) not in ids:
            ids.append(number)
    return tuple(ids)


def _group_id(root_fd: int, group: str) -> int:
    number = _number(group)
    if number is not None:
        return _in_range(number)
    for entry in _groups(root_fd):
        if entry.name == group:
            return entry.gid
    raise InvalidParameter(f"unable to find group {group}: no matching entries in group file")


def _number(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else None


def _in_range(number: int) -> int:
    if not 0 <= number <= MAX_ID:
        raise InvalidParameter(f"uids and gids must be in range 0-{MAX_ID}")
    return number


def _users(root_fd: int) -> list[_User]:
    found = []
    for fields in _lines(root_fd, b"etc/passwd"):
        fields += [""] * (7 - len(fields))
        uid, gid = _number(fields[2]), _number(fields[3])
        if fields[0] and uid is not None and gid is not None:
            found.append(_User(fields[0], uid, gid, fields[5]))
    return found


def _groups(root_fd: int) -> list[_Group]:
    found = []
    for fields in _lines(root_fd, b"etc/group"):
        fields += [""] * (4 - len(fields))
        gid = _number(fields[2])
        if fields[0] and gid is not None:
            found.append(_Group(fields[0], gid, tuple(filter(None, fields[3].split(",")))))
    return found


def _lines(root_fd: int, path: bytes) -> list[list[str]]:
    """The fields of each line; nothing where the file is missing. Raises InvalidParameter for a monster."""
    try:
        fd = openat2(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, resolve=RESOLVE)
    except OSError as failure:
        if failure.errno in (errno.ENOENT, errno.ENOTDIR):
            return []
        raise InvalidParameter(f"/{path.decode()}: {failure.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidParameter(f"/{path.decode()} is not a regular file")
        data = b""
        while part := os.read(fd, 1 << 20):
            data += part
            if len(data) > MAX_BYTES:
                raise InvalidParameter(f"/{path.decode()} is longer than {MAX_BYTES} bytes")
    finally:
        os.close(fd)
    lines = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        line = line.strip()
        if line and not line.startswith("#") and len(line) <= MAX_LINE:
            lines.append([field.strip() for field in line.split(":")])
    return lines

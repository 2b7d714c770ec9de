"""`--userns-remap`: the ranges of its user, as dockerd takes them; "default" makes the user dockremap."""

from __future__ import annotations

import grp
import logging
import pwd
import shutil
import subprocess

from onggi.engine.userns.maps import IdMaps
from onggi.errors import InvalidParameter
from onggi.spec import subids
from onggi.spec.subids import SUBGID, SUBUID, Extent

DEFAULT_USER = "dockremap"
FIRST, COUNT = 100000, 65536  # login.defs(5), SUB_UID_MIN; what dockerd gives its user

log = logging.getLogger(__name__)


def remap(text: str) -> IdMaps:
    """The maps of `--userns-remap`: "default", a user, a uid, or user:group. Raises InvalidParameter."""
    if text == "default":
        _make_default()
        text = DEFAULT_USER
    user, colon, group = text.partition(":")
    account = _user(user)
    name = _group(group) if colon else account.pw_name
    uids = _of(SUBUID, account.pw_name, account.pw_uid)
    gids = _of(SUBGID, name, _gid(name))
    return IdMaps(uids=uids, gids=gids)


def _user(word: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(word)) if word.isdigit() else pwd.getpwnam(word)
    except (KeyError, OverflowError):
        raise InvalidParameter(f'invalid userns-remap: no user "{word}" on this host') from None


def _group(word: str) -> str:
    try:
        return (grp.getgrgid(int(word)) if word.isdigit() else grp.getgrnam(word)).gr_name
    except (KeyError, OverflowError):
        raise InvalidParameter(f'invalid userns-remap: no group "{word}" on this host') from None


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _of(path: str, name: str, number: int | None) -> tuple[Extent, ...]:
    extents = subids.extents(path, name, number)
    if not extents:
        kind = "subuid" if path == SUBUID else "subgid"
        raise InvalidParameter(
            f'Can\'t create ID mappings: no {kind} ranges found for user "{name}" in {path}'
        )
    return extents


def _make_default() -> None:
    """The user dockremap with 65536 ids behind all that are given, as dockerd makes it."""
    try:
        pwd.getpwnam(DEFAULT_USER)
    except KeyError:
        _tool("useradd", "-r", "-U", "-s", "/bin/false", "-d", "/nonexistent", DEFAULT_USER)
        log.info("made the user %s for --userns-remap=default", DEFAULT_USER)
    for path, flag in ((SUBUID, "-v"), (SUBGID, "-w")):
        ranges = subids.read(path)
        if not any(one.owner == DEFAULT_USER for one in ranges):
            first = max([FIRST, *(one.first + one.size for one in ranges if one.first < 1 << 31)])
            _tool("usermod", flag, f"{first}-{first + COUNT - 1}", DEFAULT_USER)


def _tool(*command: str) -> None:
    path = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        raise InvalidParameter(
            f"userns-remap=default: {command[0]} is not installed; make {DEFAULT_USER} by hand"
        )
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True)
    if done.returncode:
        raise InvalidParameter(f"userns-remap=default: {' '.join(command)}: {done.stderr.strip()}")

"""The policy file of --access-policy: which rights each caller has. The first rule that names him counts.

    {"default": "none",
     "rules": [{"user": "alice", "allow": "own"},  {"user": "1002", "allow": "read"},
               {"group": "operators", "allow": "all"},  {"certificate": "ci", "allow": "all"}]}

    none    nothing but /_ping
    read    every GET and HEAD, but no attach: lists, inspect, logs, stats, events, archives out of containers
    own     containers that this caller made: everything with them, and no sight of others; images may be
            looked at and pulled. A container may be made only in ways that give no rights over the host or
            over others (own.py)
    all     as without a policy: root on this machine

Users are known by SO_PEERCRED, groups by their primary group and SO_PEERGROUPS (socket(7)), certificates by
their common name. Root and the engine's own user have all rights: they could take them anyway. Without a file
everybody who may open the socket has all. Pure, but for the names of users and groups.
"""

from __future__ import annotations

import grp
import os
import pwd
from enum import StrEnum

import msgspec

from onggi.engine.access.callers import Caller
from onggi.errors import InvalidParameter


class Level(StrEnum):
    NONE = "none"
    READ = "read"
    OWN = "own"
    ALL = "all"


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    allow: Level
    user: str = ""
    group: str = ""
    certificate: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    default: Level = Level.NONE
    rules: tuple[_Rule, ...] = ()


class Policy:
    """A policy file, read; names are looked up once."""

    def __init__(self, default: Level, rules: list[tuple[str, int | str, Level]]) -> None:
        self._default = default
        self._rules = rules  # kind, id or name, level

    def level(self, caller: Caller | None) -> Level:
        """The rights of a caller; who is not known at all has the default."""
        if caller is None or caller.uid in (0, os.geteuid()):
            return Level.ALL
        for kind, wanted, level in self._rules:
            if kind == "user" and wanted == caller.uid:
                return level
            if kind == "group" and wanted in (caller.gid, *caller.groups):
                return level
            if kind == "certificate" and wanted == caller.name:
                return level
        return self._default


def load(path: str) -> Policy:
    """Raises InvalidParameter, which names the file and the rule."""
    try:
        with open(path, "rb") as file:
            document = msgspec.json.decode(file.read(), type=_File)
    except OSError as error:
        raise InvalidParameter(f"access policy {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"access policy {path}: {error}") from None
    return Policy(document.default, [_rule(path, n, rule) for n, rule in enumerate(document.rules)])


def _rule(path: str, number: int, rule: _Rule) -> tuple[str, int | str, Level]:
    named = [(k, v) for k in ("user", "group", "certificate") if (v := getattr(rule, k))]
    if len(named) != 1:
        raise InvalidParameter(
            f"access policy {path}: rules[{number}]: must name one user, group or certificate"
        )
    kind, name = named[0]
    if kind == "certificate":
        return kind, name, rule.allow
    try:
        if name.isdigit():
            return kind, int(name), rule.allow
        return kind, (pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid), rule.allow
    except KeyError:
        raise InvalidParameter(f"access policy {path}: rules[{number}]: no {kind} {name!r} here") from None

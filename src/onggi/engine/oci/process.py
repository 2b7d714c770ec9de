"""The process of a container or of an exec: arguments, environment, directory, user, rlimits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onggi.engine.config import Ulimit
from onggi.errors import InvalidParameter
from onggi.wire.containers import ContainerConfig, HostConfigUlimits

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT_TARGET = "/sbin/docker-init"  # our reaper, which is given the program's path (spawn/init.py)
FOREIGN_INIT_TARGET = "/dev/docker-init"  # one that looks the program up by itself
RLIMITS = frozenset(
    {"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"}
    | {"rtprio", "rttime", "sigpending", "stack"}
)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as the image's passwd and group files know him."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


class Init(msgspec.Struct, frozen=True, kw_only=True):
    """The reaper of --init: its path on the host, and where it is bound."""

    path: str
    target: str


def arguments(config: ContainerConfig) -> list[str]:
    """Entrypoint and command. Raises InvalidParameter where there is neither."""
    found = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not found or found == [""]:
        raise InvalidParameter("no command specified")
    return found


def environment(
    config: ContainerConfig, *, hostname: str, home: str, linked: Iterable[str] = ()
) -> list[str]:
    """Docker's order: PATH, HOSTNAME, TERM, those of links, what was asked for, HOME.

    `NAME` alone takes a variable away.
    """
    base = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={hostname}"]
    if config.tty:
        base.append("TERM=xterm")
    found = merge([*base, *linked], config.env)
    if not any(item.startswith("HOME=") for item in found):
        found.append(f"HOME={home}")
    return found


def merge(base: Iterable[str], overrides: Iterable[str]) -> list[str]:
    """`NAME=value` lists, the later winning in the earlier's place; a bare `NAME` removes."""
    found = {item.partition("=")[0]: item for item in base}
    for item in overrides:
        name, equals, _ = item.partition("=")
        if equals:
            found[name] = item
        else:
            found.pop(name, None)
    return list(found.values())


def rlimits(
    wanted: Iterable[HostConfigUlimits], defaults: Mapping[str, Ulimit] | None = None
) -> list[dict[str, Any]]:
    """`process.rlimits`, the container's over the engine's. Raises InvalidParameter."""
    found: dict[str, tuple[int, int]] = {
        limit.name: (limit.soft, limit.hard) for limit in (defaults or {}).values()
    }
    for limit in wanted:
        name = limit.name.lower().removeprefix("rlimit_")
        if name not in RLIMITS:
            raise InvalidParameter(f"invalid ulimit type: {limit.name}")
        if limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
            raise InvalidParameter(
                f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
            )
        found[name] = (limit.soft, limit.hard)
    unlimited = (1 << 64) - 1
    return [
        {
            "type": f"RLIMIT_{name.upper()}",
            "soft": unlimited if soft < 0 else soft,
            "hard": unlimited if hard < 0 else hard,
        }
        for name, (soft, hard) in found.items()
    ]


def process(
    *,
    args: list[str],
    env: list[str],
    cwd: str,
    user: User,
    tty: bool,
    capabilities: list[str],
    no_new_privileges: bool = False,
    rlimits: list[dict[str, Any]] | None = None,
    oom_score_adj: int | None = None,
    console_size: list[int] | None = None,
    apparmor: str = "",
) -> dict[str, Any]:
    """`process` of the OCI document. `console_size` is (height, width)."""
    document: dict[str, Any] = {
        "terminal": tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": args,
        "env": env,
        "cwd": cwd or "/",
        "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        "noNewPrivileges": no_new_privileges,
    }
    if rlimits:
        document["rlimits"] = rlimits
    if oom_score_adj is not None:
        document["oomScoreAdj"] = oom_score_adj
    if tty and console_size and len(console_size) == 2 and any(console_size):
        document["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    if apparmor and apparmor != "unconfined":
        document["apparmorProfile"] = apparmor
    return document

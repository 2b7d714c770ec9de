"""An ordinary user's engine: what it knows of its surroundings. It is root in a user namespace of its own.

Everything that differs for such an engine asks `config.rootless`; nothing asks for a uid.
"""

from __future__ import annotations

import msgspec

from onggi.errors import InvalidParameter, System

_WITHOUT = "WARNING: Running in rootless-mode without cgroups. "
# dockerd's words (daemon/info_unix.go), by the version of the machine's cgroups
WITHOUT_CGROUPS = {
    "2": _WITHOUT + "Systemd is required to enable cgroups in rootless-mode.",
    "1": _WITHOUT + "To enable cgroups in rootless-mode, you need to boot the system in cgroup v2 mode.",
    "": _WITHOUT + "No cgroups are mounted.",
}


class Rootless(msgspec.Struct, frozen=True, kw_only=True):
    """What the outer process found out (daemon/rootless/parent.py)."""

    uid: int  # of the user, on the host
    gid: int
    root: str
    exec_root: str
    config_file: str
    single_id: str = ""  # why no subordinate ids are there: then root is the only id inside


def oom_score() -> int:
    """The engine's own."""
    with open("/proc/self/oom_score_adj", "rb") as file:
        return int(file.read())


def refuse(config: Rootless | None, what: str, why: str) -> None:
    """Raises InvalidParameter where the engine is an ordinary user's."""
    if config is not None:
        raise InvalidParameter(f"{what} is not supported in rootless mode: {why}")


def parse(text: str) -> Rootless:
    """Raises System: nobody but the outer process writes it."""
    try:
        return msgspec.json.decode(text, type=Rootless)
    except msgspec.DecodeError as error:
        raise System(f"not the surroundings of a rootless engine: {error}") from None

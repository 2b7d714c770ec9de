"""Which namespaces of a container are new, the host's own, or another container's."""

from __future__ import annotations

import msgspec

from onggi.engine.userns import words
from onggi.errors import InvalidParameter
from onggi.wire.containers import HostConfig


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of namespaces to enter instead of new ones; empty: none."""

    network: str = ""
    pid: str = ""
    ipc: str = ""
    user: str = ""


def namespaces(host: HostConfig, joined: Joined, *, user: bool = False) -> list[dict[str, str]]:
    """`linux.namespaces`; a namespace that is not listed is the host's. `user`: one for users, too."""
    found = [{"type": "mount"}]
    if user:
        found.append({"type": "user", "path": joined.user} if joined.user else {"type": "user"})
    if joined.network:
        found.append({"type": "network", "path": joined.network})
    elif host.network_mode != "host":
        found.append({"type": "network"})
    if host.uts_mode != "host":
        found.append({"type": "uts"})
    for kind, mode, path in (("pid", host.pid_mode, joined.pid), ("ipc", host.ipc_mode, joined.ipc)):
        if path:
            found.append({"type": kind, "path": path})
        elif mode != "host":
            found.append({"type": kind})
    if host.cgroupns_mode == "private":
        found.append({"type": "cgroup"})
    return found


def validate(host: HostConfig) -> None:
    """Docker's messages for modes that it does not know. Raises InvalidParameter."""
    _container_mode("PID", host.pid_mode, ("", "host"))
    _container_mode("IPC", host.ipc_mode, ("", "host", "private", "shareable", "none"))
    if host.uts_mode not in ("", "host"):
        raise InvalidParameter(f"invalid UTS mode: {host.uts_mode}")
    if host.cgroupns_mode not in ("", "host", "private"):
        raise InvalidParameter(f"invalid cgroup namespace mode: {host.cgroupns_mode}")
    words.parse(host.userns_mode)


def _container_mode(name: str, mode: str, plain: tuple[str, ...]) -> None:
    kind, colon, other = mode.partition(":")
    if mode not in plain and not (kind == "container" and colon and other):
        raise InvalidParameter(f"invalid {name} mode: {mode}")

"""The standard streams of a process in a user namespace belong to its user.

Else he could not open /dev/stdout anew (proc(5), /proc/PID/fd), as servers that log there do.
"""

from __future__ import annotations

from typing import Any

from onggi.engine.userns.maps import IdMaps
from onggi.errors import InvalidParameter


def give(plan: dict[str, Any], maps: IdMaps | None, process: dict[str, Any]) -> None:
    """Add the step to a plan. Raises InvalidParameter where the user has no id on the host."""
    if maps is None:
        return
    user = process["user"]
    try:
        owner = maps.outside(user["uid"], user["gid"])
        for gid in user["additionalGids"]:
            maps.outside(user["uid"], gid)
    except ValueError as error:
        raise InvalidParameter(f"user {user['uid']}:{user['gid']}: {error}") from None
    if not process["terminal"]:
        plan["host"].append(("own-stdio", *owner))

"""Disconnect a container from a network."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NETWORK CONTAINER"
ARGUMENTS = (2, 2)
FLAGS = (("force", "f", "bool", False, "Also when the container is gone"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    body = {"Container": args[1], "Force": flags["force"]}
    session.engine.post(f"/networks/{args[0]}/disconnect", body)
    return 0

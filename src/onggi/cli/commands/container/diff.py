"""Show what changed in a container's file system: A added, C changed, D deleted."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER"
ARGUMENTS = (1, 1)
FLAGS = ()
_KINDS = ("C", "A", "D")


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if not args[0]:
        raise CommandError("Container name cannot be empty")
    for change in session.engine.get(f"/containers/{args[0]}/changes") or []:
        session.out(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0

"""List the checkpoints of a container."""

from __future__ import annotations

from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER"
ARGUMENTS = (1, 1)
FLAGS = (("checkpoint-dir", "", "string", "", "Keep checkpoints in this directory"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    path = f"/containers/{quote(args[0], '')}/checkpoints"
    found = session.engine.get(path, dir=flags["checkpoint-dir"] or None) or []
    session.out("CHECKPOINT NAME")
    for checkpoint in sorted(found, key=lambda one: str(one["Name"])):
        session.out(checkpoint["Name"])
    return 0

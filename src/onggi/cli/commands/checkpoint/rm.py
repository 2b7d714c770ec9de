"""Remove a checkpoint of a container."""

from __future__ import annotations

from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER CHECKPOINT"
ARGUMENTS = (2, 2)
FLAGS = (("checkpoint-dir", "", "string", "", "Keep checkpoints in this directory"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    path = f"/containers/{quote(args[0], '')}/checkpoints/{quote(args[1], '')}"
    session.engine.delete(path, dir=flags["checkpoint-dir"] or None)
    return 0

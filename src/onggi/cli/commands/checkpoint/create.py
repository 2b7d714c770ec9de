"""Save the state of a running container's processes."""

from __future__ import annotations

from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER CHECKPOINT"
ARGUMENTS = (2, 2)
FLAGS = (
    ("checkpoint-dir", "", "string", "", "Keep checkpoints in this directory"),
    ("leave-running", "", "bool", False, "Let the container run on"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    body = {
        "CheckpointID": args[1],
        "CheckpointDir": flags["checkpoint-dir"],
        "Exit": not flags["leave-running"],
    }
    session.engine.post(f"/containers/{quote(args[0], '')}/checkpoints", body)
    session.out(args[1])
    return 0

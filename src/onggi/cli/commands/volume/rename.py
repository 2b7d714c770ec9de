"""Give a volume another name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "VOLUME NEW_NAME"
ARGUMENTS = (2, 2)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    session.engine.post(f"/volumes/{args[0]}/rename", name=args[1])
    return 0

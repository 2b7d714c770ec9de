"""Make a volume that has what another one has."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "VOLUME NEW_NAME"
ARGUMENTS = (2, 2)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    session.out(session.engine.post(f"/volumes/{args[0]}/clone", name=args[1])["Name"])
    return 0

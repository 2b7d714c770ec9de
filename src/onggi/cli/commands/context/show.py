"""Print the name of the current context."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    session.context()  # one that does not exist is an error here too
    session.out(session.context_name())
    return 0

"""Remove secrets."""

from __future__ import annotations

from onggi.cli.commands import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "SECRET [SECRET...]"
ARGUMENTS = (1, None)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    return each.run(session, args, lambda name: session.engine.delete(f"/secrets/{name}"))

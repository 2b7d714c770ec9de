"""Show the processes of a container."""

from __future__ import annotations

from onggi.cli import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [ps OPTIONS]"
ARGUMENTS = (1, None)
INTERSPERSED = False
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = session.engine.get(f"/containers/{args[0]}/top", ps_args=" ".join(args[1:]) or None)
    lines = [found["Titles"], *(found["Processes"] or [])]
    session.out("\n".join(table.align(lines, least=20)))
    return 0

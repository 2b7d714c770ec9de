"""Remove networks."""

from __future__ import annotations

from onggi.cli.commands import each
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NETWORK [NETWORK...]"
ARGUMENTS = (1, None)
FLAGS = (("force", "f", "bool", False, "A network that is not there is no failure"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def remove(name: str) -> None:
        try:
            session.engine.delete(f"/networks/{name}")
        except Refused as error:
            if not (flags["force"] and error.code == 404):
                raise

    status = each.run(session, args, remove)
    if status:
        raise CommandError("exit status 1")
    return status

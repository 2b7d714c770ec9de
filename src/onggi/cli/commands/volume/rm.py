"""Remove volumes."""

from __future__ import annotations

from onggi.cli.commands import each
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "VOLUME [VOLUME...]"
ARGUMENTS = (1, None)
FLAGS = (("force", "f", "bool", False, "A volume that is not there is no failure"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def remove(name: str) -> None:
        if not name:
            raise CommandError("invalid volume name or ID: value is empty")
        try:
            session.engine.delete(f"/volumes/{name}", force=True if flags["force"] else None)
        except Refused as error:
            if not (flags["force"] and error.code == 404):
                raise

    return each.run(session, args, remove)

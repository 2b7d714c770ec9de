"""Remove containers."""

from __future__ import annotations

from onggi.cli.commands import each
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [CONTAINER...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("force", "f", "bool", False, "Kill it first where it runs"),
    ("link", "l", "bool", False, "Remove the link, not the container"),
    ("volumes", "v", "bool", False, "Remove its nameless volumes too"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    options = {"force": flags["force"] or None, "link": flags["link"] or None, "v": flags["volumes"] or None}

    def remove(name: str) -> None:
        if not name.strip("/"):
            raise CommandError("container name cannot be empty")
        try:
            session.engine.delete(f"/containers/{name.strip(chr(47))}", **options)
        except Refused as error:
            if not (error.code == 404 and flags["force"]):
                raise
            failures.append(error.message)

    failures: list[str] = []
    status = each.run(session, args, remove)
    for message in failures:
        session.err(message)
    return status

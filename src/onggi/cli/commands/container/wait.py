"""Wait until containers stop, then print their exit codes."""

from __future__ import annotations

from onggi.cli.commands import each
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [CONTAINER...]"
ARGUMENTS = (1, None)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def wait(name: str) -> None:
        answer = session.engine.post(f"/containers/{name}/wait")
        if answer.get("Error"):
            raise CommandError(str(answer["Error"].get("Message", "")))
        session.out(str(answer["StatusCode"]))

    return each.run(session, args, wait, show=False)

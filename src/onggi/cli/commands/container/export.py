"""Write a container's file system as a tar archive."""

from __future__ import annotations

from onggi.cli import archive_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER"
ARGUMENTS = (1, 1)
FLAGS = (("output", "o", "string", "", "Write to a file instead of stdout"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    archive_file.check_output(flags["output"], "failed to export container")
    response = session.engine.open("GET", f"/containers/{args[0]}/export")
    archive_file.write(response, flags["output"])
    return 0

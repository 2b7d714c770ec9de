"""Write what is in a volume as a tar archive."""

from __future__ import annotations

from onggi.cli import archive_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "VOLUME"
ARGUMENTS = (1, 1)
FLAGS = (("output", "o", "string", "", "Write to a file instead of stdout"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    archive_file.check_output(flags["output"], "failed to export volume")
    archive_file.write(session.engine.open("GET", f"/volumes/{args[0]}/export"), flags["output"])
    return 0

"""Make a volume of a tar archive."""

from __future__ import annotations

import json

from onggi.cli import archive_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "VOLUME file|-"
ARGUMENTS = (2, 2)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    name, source = args
    response = session.engine.open(
        "POST",
        "/volumes/import",
        {"name": name},
        archive_file.read(source),
        {"Content-Type": "application/x-tar"},
    )
    session.out(json.loads(response.read())["Name"])
    return 0

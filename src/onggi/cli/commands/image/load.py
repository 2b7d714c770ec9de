"""Load images from a tar archive or stdin."""

from __future__ import annotations

import os

from onggi.cli import archive_file, progress
from onggi.cli.errors import CommandError
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("input", "i", "string", "", "Read from a file instead of stdin"),
    ("platform", "", "string", "", "Only this platform, such as linux/arm64"),
    ("quiet", "q", "bool", False, "Do not show the layers"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    path = flags["input"]
    if not path and os.isatty(0):
        raise CommandError("requested load from stdin, but stdin is empty")
    content = archive_file.read(path)
    quiet = flags["quiet"] or not os.isatty(1)
    parameters = {"quiet": 1 if quiet else 0, "platform": platform_json(flags["platform"])}
    headers = {"Content-Type": "application/x-tar"}
    response = session.engine.open("POST", "/images/load", parameters, content, headers)
    progress.show(session.engine.messages(response))
    return 0

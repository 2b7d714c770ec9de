"""Disable a plugin."""

from __future__ import annotations

from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN"
ARGUMENTS = (1, 1)
FLAGS = (("force", "f", "bool", False, "Disable it while it is in use, too"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    session.engine.post(f"/plugins/{quote(args[0])}/disable", force=True if flags["force"] else None)
    session.out(args[0])
    return 0

"""Enable a plugin."""

from __future__ import annotations

from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN"
ARGUMENTS = (1, 1)
FLAGS = (("timeout", "", "int", 30, "Seconds to wait for the plugin"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    session.engine.post(f"/plugins/{quote(args[0])}/enable", timeout=flags["timeout"])
    session.out(args[0])
    return 0

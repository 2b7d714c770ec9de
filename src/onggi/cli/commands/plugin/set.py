"""Change the settings of a plugin."""

from __future__ import annotations

from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN KEY=VALUE [KEY=VALUE...]"
ARGUMENTS = (2, None)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    session.engine.post(f"/plugins/{quote(args[0])}/set", args[1:])
    return 0

"""Remove one or more plugins."""

from __future__ import annotations

from onggi.cli.commands import each
from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN [PLUGIN...]"
ARGUMENTS = (1, None)
FLAGS = (("force", "f", "bool", False, "Remove plugins that are in use, too"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    force = True if flags["force"] else None
    return each.run(session, args, lambda name: session.engine.delete(f"/plugins/{quote(name)}", force=force))

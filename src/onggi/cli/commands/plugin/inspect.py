"""Show everything about one or more plugins."""

from __future__ import annotations

from onggi.cli import inspection
from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN [PLUGIN...]"
ARGUMENTS = (1, None)
FLAGS = (("format", "f", "string", "", "How to print: json, or a Go template"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def find(name: str) -> str:
        return session.engine.get_text(f"/plugins/{quote(name)}/json")

    return inspection.show(session, args, flags["format"], find)

"""Show everything about containers."""

from __future__ import annotations

from onggi.cli import inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [CONTAINER...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("format", "f", "string", "", "How to print: json, or a Go template"),
    ("size", "s", "bool", False, "Show how much disk it uses"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def find(name: str) -> str:
        return session.engine.get_text(f"/containers/{name}/json", size=flags["size"] or None)

    return inspection.show(session, args, flags["format"], find)

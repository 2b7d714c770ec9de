"""Show everything about images."""

from __future__ import annotations

from onggi.cli import inspection
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "IMAGE [IMAGE...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("format", "f", "string", "", "How to print: json, or a Go template"),
    ("platform", "", "string", "", "Only this platform, such as linux/arm64"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def find(name: str) -> str:
        return session.engine.get_text(f"/images/{name}/json", platform=platform_json(flags["platform"]))

    return inspection.show(session, args, flags["format"], find)

"""Unmount images that were mounted for this machine's programs."""

from __future__ import annotations

from onggi.cli import http
from onggi.cli.commands import each
from onggi.cli.errors import CommandError
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[IMAGE...]"
ARGUMENTS = (0, None)
FLAGS = (
    ("all", "a", "bool", False, "All that are mounted"),
    ("force", "f", "bool", False, "However often it was mounted, and whoever uses it"),
    ("platform", "", "string", "", "Only this platform, such as linux/arm64"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if bool(args) == flags["all"]:
        raise CommandError("image unmount takes names of images, or --all")
    if flags["all"]:
        args = [item["Id"] for item in session.engine.get("/images/mounts")]
    platform = platform_json(flags["platform"])

    def unmount(name: str) -> None:
        query = http.query({"force": True if flags["force"] else None, "platform": platform})
        session.engine.post(f"/images/{name}/unmount{query}")

    return each.run(session, args, unmount)

"""Remove images, or names of images."""

from __future__ import annotations

from onggi.cli.commands import each
from onggi.cli.errors import Refused
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "IMAGE [IMAGE...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("force", "f", "bool", False, "Remove it even where containers use it"),
    ("no-prune", "", "bool", False, "Leave parents without a name"),
    ("platform", "", "strings", None, "Only this platform, such as linux/arm64"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    platforms = [platform_json(word) for word in flags["platform"]]
    missing: list[str] = []

    def remove(name: str) -> None:
        try:
            answer = session.engine.delete(
                f"/images/{name}",
                force=True if flags["force"] else None,
                noprune=True if flags["no-prune"] else None,
                platforms=platforms or None,
            )
        except Refused as error:
            if not (flags["force"] and error.code == 404):
                raise
            missing.append(error.message)
            return
        for line in answer or []:
            if line.get("Deleted"):
                session.out(f"Deleted: {line['Deleted']}")
            else:
                session.out(f"Untagged: {line['Untagged']}")

    status = each.run(session, args, remove, show=False)
    for message in missing:
        session.err(message)
    return status

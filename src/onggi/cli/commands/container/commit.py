"""Create a new image from a container's changes."""

from __future__ import annotations

from onggi.cli import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [REPOSITORY[:TAG]]"
ARGUMENTS = (1, 2)
FLAGS = (
    ("author", "a", "string", "", "Who made it"),
    ("change", "c", "list", None, "Dockerfile instruction for the new image"),
    ("message", "m", "string", "", "Message of the commit"),
    ("pause", "p", "bool", True, "Pause the container meanwhile"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    repository, tag = "", ""
    if len(args) > 1:
        reference.check(args[1])
        repository, tag = reference.split(args[1])
        tag = tag or "latest"
    answer = session.engine.post(
        "/commit",
        {},
        container=args[0],
        repo=repository,
        tag=tag,
        comment=flags["message"],
        author=flags["author"],
        changes=flags["change"],
        pause=None if flags["pause"] else 0,
    )
    session.out(answer["Id"])
    return 0

"""Upload an image to a registry."""

from __future__ import annotations

from onggi.cli import credentials, progress, reference, trust
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NAME[:TAG]"
ARGUMENTS = (1, 1)
FLAGS = (
    ("all-tags", "a", "bool", False, "Push every tag of the repository"),
    trust.FLAG,
    ("quiet", "q", "bool", False, "Do not show the progress"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    trust.refuse(flags)
    image = args[0]
    reference.check_target(image)
    name, tag = reference.split(image)
    if flags["all-tags"] and tag:
        raise CommandError("tag can't be used with --all-tags/-a")
    if not flags["all-tags"] and not tag:
        tag = "latest"
        if not flags["quiet"]:
            session.out("Using default tag: latest")
    session.flush()
    response = session.engine.open(
        "POST",
        f"/images/{name}/push",
        {"tag": tag or None},
        headers={"X-Registry-Auth": credentials.header(session, image)},
    )
    progress.show(session.engine.messages(response), quiet=flags["quiet"])
    session.engine.keep(response)
    if flags["quiet"]:
        session.out(reference.full(f"{name}:{tag}" if tag else name, tagged=not flags["all-tags"]))
    return 0

"""Download an image from a registry."""

from __future__ import annotations

from onggi.cli import pulling, reference, trust
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NAME[:TAG|@DIGEST]"
ARGUMENTS = (1, 1)
FLAGS = (
    ("all-tags", "a", "bool", False, "Download every tag of the repository"),
    trust.FLAG,
    ("platform", "", "string", "", "Platform of the image, such as linux/arm64"),
    ("quiet", "q", "bool", False, "Do not show the progress"),
    ("referrers", "", "bool", False, "Also what refers to the image: signatures, attestations"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    image = args[0]
    reference.check(image)
    trust.refuse(flags)
    _, tag = reference.split(image)
    if flags["all-tags"] and tag:
        raise CommandError("tag can't be used with --all-tags/-a")
    if not flags["all-tags"] and not tag and not flags["quiet"]:
        session.out("Using default tag: latest")
    session.flush()
    pulling.pull(
        session,
        image,
        platform=flags["platform"],
        all_tags=flags["all-tags"],
        referrers=flags["referrers"],
        quiet=flags["quiet"],
    )
    session.out(reference.full(image, tagged=not flags["all-tags"]))
    return 0

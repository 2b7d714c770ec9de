"""Upload an image to a registry."""

from __future__ import annotations

from onggi.cli import credentials, progress, reference, trust
from onggi.cli.errors import CommandError
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NAME[:TAG]"
ARGUMENTS = (1, 1)
FLAGS = (
    ("all-tags", "a", "bool", False, "Push every tag of the repository"),
    trust.FLAG,
    ("platform", "", "string", "", "Only this platform, such as linux/arm64"),
    ("quiet", "q", "bool", False, "Do not show the progress"),
    ("referrers", "", "bool", False, "Also what is here and refers to the image: signatures, attestations"),
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
        {
            "tag": tag or None,
            "platform": platform_json(flags["platform"]),
            "referrers": "1" if flags["referrers"] else None,
        },
        headers={"X-Registry-Auth": credentials.header(session, image)},
    )
    notes: list[str] = []
    progress.show(
        session.engine.messages(response), quiet=flags["quiet"], aux=lambda found: notes.extend(_note(found))
    )
    session.engine.keep(response)
    for note in notes:
        session.err(note)
    if flags["quiet"]:
        session.out(reference.full(f"{name}:{tag}" if tag else name, tagged=not flags["all-tags"]))
    return 0


def _note(found: dict[str, Any]) -> Iterator[str]:
    """What the engine says when it did not push the whole index."""
    if found.get("manifestPushedInsteadOfIndex"):
        yield (
            "\n Info -> Not all multiplatform-content is present and only the available single-platform "
            f"image was pushed\n         {found['originalIndex']['digest']} -> "
            f"{found['selectedManifest']['digest']}"
        )

"""Make a local manifest list of manifests that are in a registry."""

from __future__ import annotations

from onggi.cli import manifest_lists
from onggi.cli.errors import CommandError
from onggi.cli.manifest_lists import NoSuchManifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session
    from onggi.spec.reference import Reference

USAGE = "MANIFEST_LIST MANIFEST [MANIFEST...]"
ARGUMENTS = (2, None)
FLAGS = (
    ("amend", "a", "bool", False, "Add to a list that is there"),
    ("insecure", "", "bool", False, "Allow plain HTTP, or TLS that is not verified"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    try:
        listed = manifest_lists.parse(args[0])
    except CommandError as error:
        raise CommandError(f"error parsing name for manifest list {args[0]}: {error.message}") from None
    try:
        manifest_lists.members(session, listed)
        if not flags["amend"]:
            raise CommandError("refusing to amend an existing manifest list with no --amend flag")
    except NoSuchManifest:
        pass  # a new one
    for text in args[1:]:
        named = manifest_lists.parse(text)
        found = _manifest(session, listed, named, insecure=flags["insecure"])
        manifest_lists.save(session, listed, named, found)
    session.out(f"Created manifest list {listed}")
    return 0


def _manifest(session: Session, listed: Reference, named: Reference, *, insecure: bool) -> dict[str, Any]:
    """What the list has already, annotations included; else the registry's."""
    try:
        known = manifest_lists.member(session, listed, named)
        if known.get("Raw"):
            return known
    except NoSuchManifest:
        pass
    is_list, found = manifest_lists.ask(session, named, insecure=insecure)
    if is_list:
        raise CommandError(f"{named} is a manifest list")
    return found[0]

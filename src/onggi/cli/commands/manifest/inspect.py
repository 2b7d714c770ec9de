"""Show a manifest, or a manifest list: a local one, or what a registry has."""

from __future__ import annotations

from onggi import jsontext
from onggi.cli import manifest_lists
from onggi.cli.inspection import indent
from onggi.cli.manifest_lists import NoSuchManifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session
    from onggi.spec.reference import Reference

USAGE = "[MANIFEST_LIST] MANIFEST"
ARGUMENTS = (1, 2)
FLAGS = (
    ("insecure", "", "bool", False, "Allow plain HTTP, or TLS that is not verified"),
    ("verbose", "v", "bool", False, "Show layers and platforms too"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    verbose = flags["verbose"]
    named = manifest_lists.parse(args[-1])
    if len(args) == 2:
        listed = manifest_lists.parse(args[0])
        session.out(_one(manifest_lists.member(session, listed, named), verbose=verbose))
        return 0
    try:
        is_list, found = True, manifest_lists.members(session, named)
    except NoSuchManifest:
        is_list, found = manifest_lists.ask(session, named, insecure=flags["insecure"])
    session.out(_several(named, found, verbose=verbose) if is_list else _one(found[0], verbose=verbose))
    return 0


def _one(manifest: dict[str, Any], *, verbose: bool) -> str:
    if verbose:
        return indent(manifest_lists.escaped(jsontext.dumps(manifest)), "\t")
    return indent(manifest_lists.raw(manifest), "\t")


def _several(listed: Reference, manifests: list[dict[str, Any]], *, verbose: bool) -> str:
    if verbose:
        return indent(manifest_lists.escaped(jsontext.dumps(manifests)), "\t")
    return manifest_lists.as_list(listed, manifests)[1]

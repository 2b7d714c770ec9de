"""Push a local manifest list to its repository."""

from __future__ import annotations

import binascii

from onggi.cli import credentials, manifest_lists
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "MANIFEST_LIST"
ARGUMENTS = (1, 1)
FLAGS = (
    ("insecure", "", "bool", False, "Allow plain HTTP, or TLS that is not verified"),
    ("purge", "p", "bool", False, "Remove the local list when it is pushed"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    listed = manifest_lists.parse(args[0])
    manifests = manifest_lists.members(session, listed)
    if not manifests:
        raise CommandError(f"{listed} not found")
    for one in manifests:
        platform = one["Descriptor"].get("platform") or {}
        if not platform.get("architecture") or not platform.get("os"):
            raise CommandError(
                f"manifest {one['Ref']} must have an OS and Architecture to be pushed to a registry"
            )
    media_type, text = manifest_lists.as_list(listed, manifests)
    foreign = [one for one in manifests if manifest_lists.parse(one["Ref"]).path != listed.path]
    body = {
        "MediaType": media_type,
        "Raw": _base64(text),
        "Manifests": [_sent(one) for one in foreign],
    }
    try:
        answer = session.engine.call(
            "POST",
            f"/distribution/{listed}/manifest",
            {"insecure": "1" if flags["insecure"] else None},
            body,
            {"X-Registry-Auth": credentials.header(session, listed.familiar_name)},
        )
    except Refused as error:
        raise manifest_lists.refusal(error) from None
    for one in answer["Pushed"]:
        session.out(f"Pushed ref {one['Ref']} with digest: {one['Digest']}")
    session.out(answer["Digest"])
    if flags["purge"]:
        manifest_lists.remove(session, listed)
    return 0


def _sent(manifest: dict[str, Any]) -> dict[str, Any]:
    raw = _base64(manifest_lists.raw(manifest))
    return {"Ref": manifest["Ref"], "Descriptor": manifest["Descriptor"], "Raw": raw}


def _base64(text: str) -> str:
    return binascii.b2a_base64(text.encode("utf-8", "surrogateescape"), newline=False).decode()

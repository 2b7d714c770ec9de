"""List what refers to an image in its registry: signatures, attestations, bills of materials."""

from __future__ import annotations

from onggi.cli import credentials, human, listing, reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NAME[:TAG|@DIGEST]"
ARGUMENTS = (1, 1)
FLAGS = (
    ("artifact-type", "", "string", "", "Only artifacts of this type"),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
)
HEADERS = {
    "Annotations": "ANNOTATIONS", "ArtifactType": "ARTIFACT TYPE", "Digest": "DIGEST",
    "MediaType": "MEDIA TYPE", "Size": "SIZE",
}  # fmt: skip


class Referrer(listing.Row):
    template_type = "*formatter.referrerContext"
    fields = tuple(HEADERS)

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def Digest(self) -> str:
        return str(self._found["digest"])

    def ArtifactType(self) -> str:
        return str(self._found.get("artifactType") or "")

    def MediaType(self) -> str:
        return str(self._found.get("mediaType") or "")

    def Size(self) -> str:
        return human.size(self._found.get("size", 0))

    def Annotations(self) -> str:
        return listing.labels(self._found.get("annotations"))


def run(session: Session, flags: Flags, args: list[str]) -> int:
    image = args[0]
    reference.check(image)
    found = session.engine.call(
        "GET",
        f"/distribution/{image}/referrers",
        {"artifactType": flags["artifact-type"] or None},
        headers={"X-Registry-Auth": credentials.header(session, image)},
    )
    listing.show(
        flags["format"], [Referrer(one) for one in found], HEADERS, ["Digest", "ArtifactType", "Size"]
    )
    return 0

"""List contexts: the one that DOCKER_HOST, ONGGI_HOST or the default socket make."""

from __future__ import annotations

import os

from onggi.cli import listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("quiet", "q", "bool", False, "Only names"),
)
HEADERS = {
    "Current": "CURRENT",
    "Description": "DESCRIPTION",
    "DockerEndpoint": "DOCKER ENDPOINT",
    "Error": "ERROR",
    "Name": "NAME",
}
DESCRIPTION = "Only the default context exists: choose an engine with -H, DOCKER_HOST or ONGGI_HOST."


class Context(listing.Row):
    template_type = "*formatter.clientContextContext"
    fields = tuple(HEADERS)

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def Current(self) -> bool:
        return True

    def Description(self) -> str:
        return "Current DOCKER_HOST based configuration"

    def DockerEndpoint(self) -> str:
        return self._endpoint

    def Error(self) -> str:
        return ""

    def Name(self) -> str:
        return "default"

    def Marked(self) -> str:
        return "default *"


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["quiet"]:
        session.out("default")
        return 0
    columns = ["Marked", "Description", "DockerEndpoint", "Error"]
    headers = {**HEADERS, "Marked": "NAME"}
    listing.show(flags["format"], [Context(session.address().url)], headers, columns)
    if os.environ.get("DOCKER_HOST"):
        session.err(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, "
            "either set the global --context flag, or unset DOCKER_HOST environment variable."
        )
    return 0

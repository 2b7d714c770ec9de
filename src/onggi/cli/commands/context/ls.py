"""List contexts: those that were made, and `default`, which DOCKER_HOST or the default socket makes."""

from __future__ import annotations

import os

from onggi.cli import contexts, listing

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


class Context(listing.Row):
    template_type = "*formatter.clientContextContext"
    fields = tuple(HEADERS)

    def __init__(self, name: str, description: str, endpoint: str, *, current: bool, error: str = "") -> None:
        self._name = name
        self._description = description
        self._endpoint = endpoint
        self._current = current
        self._error = error

    def Current(self) -> bool:
        return self._current

    def Description(self) -> str:
        return self._description

    def DockerEndpoint(self) -> str:
        return self._endpoint

    def Error(self) -> str:
        return self._error

    def Name(self) -> str:
        return self._name

    def Marked(self) -> str:
        return f"{self._name} *" if self._current else self._name


def run(session: Session, flags: Flags, args: list[str]) -> int:
    current = session.context_name()
    rows = [
        Context(kept.name, kept.description, kept.host, current=kept.name == current)
        for kept in contexts.all_of(session.config_dir())
    ]
    rows.append(
        Context(
            contexts.DEFAULT,
            contexts.OF_DEFAULT,
            session.default_address().url,
            current=current == contexts.DEFAULT,
        )
    )
    if current not in [row.Name() for row in rows]:
        missing = f'context "{current}": context not found'
        rows.append(Context(current, "", "", current=True, error=missing))
    rows.sort(key=Context.Name)
    if flags["quiet"]:
        for row in rows:
            session.out(row.Name())
        return 0
    columns = ["Marked", "Description", "DockerEndpoint", "Error"]
    headers = {**HEADERS, "Marked": "NAME"}
    listing.show(flags["format"], rows, headers, columns)
    if os.environ.get("DOCKER_HOST"):
        session.err(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, "
            "either set the global --context flag, or unset DOCKER_HOST environment variable."
        )
    return 0

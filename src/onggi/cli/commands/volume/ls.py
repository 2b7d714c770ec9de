"""List volumes."""

from __future__ import annotations

import sys

from onggi.cli import human, listing
from onggi.cli.engine import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("filter", "f", "filter", None, 'Only those that fit (such as "dangling=true")'),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("quiet", "q", "bool", False, "Only names"),
)
HEADERS = {
    "Availability": "AVAILABILITY",
    "Driver": "DRIVER",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}


class Volume(listing.Row):
    template_type = "*formatter.volumeContext"
    fields = tuple(HEADERS)
    methods = ("Label",)

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def Name(self) -> str:
        return str(self._found["Name"])

    def Driver(self) -> str:
        return str(self._found["Driver"])

    def Scope(self) -> str:
        return str(self._found["Scope"])

    def Mountpoint(self) -> str:
        return str(self._found["Mountpoint"])

    def Labels(self) -> str:
        return listing.labels(self._found.get("Labels"))

    def Label(self, name: str) -> str:
        return str((self._found.get("Labels") or {}).get(name, ""))

    def Links(self) -> str:
        usage = self._found.get("UsageData")
        return str(usage["RefCount"]) if usage else "N/A"

    def Size(self) -> str:
        usage = self._found.get("UsageData")
        return human.size(usage["Size"]) if usage else "N/A"

    def _not_of_a_cluster(self) -> str:
        return "N/A"

    Availability = Group = Status = _not_of_a_cluster


def run(session: Session, flags: Flags, args: list[str]) -> int:
    answer = session.engine.get("/volumes", filters=filters(flags["filter"]))
    for warning in answer.get("Warnings") or []:
        session.err(f"WARNING: {warning}")
    rows = sorted(
        (Volume(item) for item in answer.get("Volumes") or []), key=lambda row: _natural(row.Name())
    )
    if flags["quiet"] and not flags["format"]:
        sys.stdout.write("".join(row.Name() + "\n" for row in rows))
        return 0
    listing.show(flags["format"], rows, HEADERS, ["Driver", "Name"], "name: {{.Name}}\ndriver: {{.Driver}}\n")
    return 0


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Numbers inside names by their value."""
    parts: list[tuple[int, int, str]] = []
    word = ""
    for letter in name + "\0":
        if word and (letter == "\0" or letter.isdigit() != word[-1].isdigit()):
            parts.append((0, int(word), "") if word.isdigit() else (1, 0, word))
            word = ""
        word += letter
    return parts

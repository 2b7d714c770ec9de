"""Show how an image came to be, layer by layer."""

from __future__ import annotations

import sys
import time

from onggi.cli import human, listing
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "IMAGE"
ARGUMENTS = (1, 1)
FLAGS = (
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("human", "H", "bool", True, "Sizes and times for people"),
    ("no-trunc", "", "bool", False, "Show everything in full length"),
    ("platform", "", "string", "", "Only this platform, such as linux/arm64"),
    ("quiet", "q", "bool", False, "Only ids"),
)
HEADERS = {
    "ID": "IMAGE",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


class Step(listing.Row):
    template_type = "*formatter.historyContext"
    fields = tuple(HEADERS)

    def __init__(self, found: dict[str, Any], *, full: bool, people: bool) -> None:
        self._found = found
        self._full = full
        self._people = people

    def ID(self) -> str:
        identifier = str(self._found["Id"])
        return identifier if self._full else human.short_id(identifier)

    def CreatedAt(self) -> str:
        if self._found["Created"] <= -62135596800:
            return ""
        at = time.localtime(self._found["Created"])
        zone = time.strftime("%z", at)
        return time.strftime("%Y-%m-%dT%H:%M:%S", at) + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")

    def CreatedSince(self) -> str:
        if not self._people:
            return self.CreatedAt()
        return human.ago(self._found["Created"]) if self._found["Created"] > -62135596800 else "N/A"

    def CreatedBy(self) -> str:
        text = str(self._found["CreatedBy"]).replace("\t", " ")
        return text if self._full else human.ellipsis(text, 45)

    def Size(self) -> str:
        return human.size(self._found["Size"], 3) if self._people else str(self._found["Size"])

    def Comment(self) -> str:
        return str(self._found["Comment"])


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = session.engine.get(f"/images/{args[0]}/history", platform=platform_json(flags["platform"]))
    rows = [Step(item, full=flags["no-trunc"], people=flags["human"]) for item in found]
    if flags["quiet"]:
        sys.stdout.write("".join(row.ID() + "\n" for row in rows))
        return 0
    headers = HEADERS if flags["human"] else {**HEADERS, "CreatedSince": HEADERS["CreatedAt"]}
    listing.show(flags["format"], rows, headers, ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"])
    return 0

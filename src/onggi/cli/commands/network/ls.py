"""List networks."""

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
    ("filter", "f", "filter", None, 'Only those that fit (such as "driver=bridge")'),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("no-trunc", "", "bool", False, "Show everything in full length"),
    ("quiet", "q", "bool", False, "Only ids"),
)
HEADERS = {
    "CreatedAt": "CREATED AT", "Driver": "DRIVER", "ID": "NETWORK ID", "IPv4": "IPV4", "IPv6": "IPV6",
    "Internal": "INTERNAL", "Labels": "LABELS", "Name": "NAME", "Scope": "SCOPE",
}  # fmt: skip


class Network(listing.Row):
    template_type = "*formatter.networkContext"
    fields = tuple(HEADERS)
    methods = ("Label",)

    def __init__(self, found: dict[str, Any], *, full: bool) -> None:
        self._found = found
        self._full = full

    def ID(self) -> str:
        return str(self._found["Id"]) if self._full else human.short_id(self._found["Id"])

    def Name(self) -> str:
        return str(self._found["Name"])

    def Driver(self) -> str:
        return str(self._found["Driver"])

    def Scope(self) -> str:
        return str(self._found["Scope"])

    def IPv4(self) -> str:
        return str(bool(self._found.get("EnableIPv4"))).lower()

    def IPv6(self) -> str:
        return str(bool(self._found.get("EnableIPv6"))).lower()

    def Internal(self) -> str:
        return str(bool(self._found.get("Internal"))).lower()

    def Labels(self) -> str:
        return listing.labels(self._found.get("Labels"))

    def Label(self, name: str) -> str:
        return str((self._found.get("Labels") or {}).get(name, ""))

    def CreatedAt(self) -> str:
        """As Go prints the time that the engine sent, in the zone that it sent."""
        day, _, rest = self._found["Created"].partition("T")
        if rest.endswith("Z"):
            return f"{day} {rest[:-1]} +0000 UTC"
        zone = rest[-6:].replace(":", "")
        return f"{day} {rest[:-6]} {zone} {zone}"


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = session.engine.get("/networks", filters=filters(flags["filter"]))
    found.sort(key=lambda item: item["Name"])
    rows = [Network(item, full=flags["no-trunc"]) for item in found]
    if flags["quiet"] and not flags["format"]:
        sys.stdout.write("".join(row.ID() + "\n" for row in rows))
        return 0
    raw = "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"
    listing.show(flags["format"], rows, HEADERS, ["ID", "Name", "Driver", "Scope"], raw)
    return 0

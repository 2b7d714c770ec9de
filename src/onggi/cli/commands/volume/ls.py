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
    ("cluster", "", "bool", False, "Only volumes of a cluster, with what concerns it"),
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

    def Group(self) -> str:
        return self._in_cluster("Group")

    def Availability(self) -> str:
        return self._in_cluster("Availability")

    def _in_cluster(self, name: str) -> str:
        cluster = self._found.get("ClusterVolume")
        return str(cluster["Spec"].get(name) or "") if cluster else "N/A"

    def Status(self) -> str:
        cluster = self._found.get("ClusterVolume")
        if not cluster:
            return "N/A"
        if not (cluster.get("Info") or {}).get("VolumeID"):
            return "pending creation"
        nodes = len(cluster.get("PublishStatus") or [])
        return f"in use ({nodes} node{'s' if nodes > 1 else ''})" if nodes else "created"


def run(session: Session, flags: Flags, args: list[str]) -> int:
    answer = session.engine.get("/volumes", filters=filters(flags["filter"]))
    for warning in answer.get("Warnings") or []:
        session.err(f"WARNING: {warning}")
    found = [
        item for item in answer.get("Volumes") or [] if item.get("ClusterVolume") or not flags["cluster"]
    ]
    rows = sorted((Volume(item) for item in found), key=lambda row: listing.natural(row.Name()))
    if flags["quiet"] and (flags["cluster"] or not flags["format"]):
        sys.stdout.write("".join(row.Name() + "\n" for row in rows))
        return 0
    if flags["cluster"]:  # Docker's client overrules --format then
        columns = "table {{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}"
        listing.show(columns, rows, HEADERS, [], "")
        return 0
    listing.show(flags["format"], rows, HEADERS, ["Driver", "Name"], "name: {{.Name}}\ndriver: {{.Driver}}\n")
    return 0

"""List containers."""

from __future__ import annotations

import sys

from onggi.cli import color, human, listing
from onggi.cli.engine import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("all", "a", "bool", False, "Stopped containers too"),
    ("filter", "f", "filter", None, "Only those that fit, such as status=exited or name=web"),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("last", "n", "int", -1, "The newest N containers, whatever their state"),
    ("latest", "l", "bool", False, "The newest container, whatever its state"),
    ("no-trunc", "", "bool", False, "Show everything in full length"),
    ("quiet", "q", "bool", False, "Only ids"),
    ("size", "s", "bool", False, "Show how much disk each uses"),
)
HEADERS = {
    "ID": "CONTAINER ID", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE",
    "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}  # fmt: skip
RAW = (
    "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
    "state: {{.State}}\nstatus: {{.Status}}\nnames: {{.Names}}\n"
    "labels:{{if .Labels}} {{.Labels}}{{end}}\nports:{{if .Ports}} {{.Ports}}{{end}}\n"
)


class Container(listing.Row):
    """A row of `ps`; `found` is the engine's summary."""

    template_type = "*formatter.ContainerContext"
    fields = tuple(HEADERS)
    methods = ("Label",)

    def __init__(self, found: dict[str, Any], *, full: bool) -> None:
        self._found = found
        self._full = full

    def ID(self) -> str:
        identifier: str = self._found["Id"]
        return identifier if self._full else human.short_id(identifier)

    def Names(self) -> str:
        names = [name.removeprefix("/") for name in self._found.get("Names") or []]
        return ",".join(name for name in names if self._full or "/" not in name)

    def Image(self) -> str:
        image: str = self._found.get("Image") or "<no image>"
        if self._full:
            return image
        short = human.short_id(self._found.get("ImageID", ""))
        if short and human.short_id(image) == short:
            return short
        name, at, _ = image.partition("@")
        return name if at and ":" in name.rpartition("/")[2] else image

    def Command(self) -> str:
        command: str = self._found.get("Command", "")
        return human.quoted(command if self._full else human.ellipsis(command, 20))

    def CreatedAt(self) -> str:
        return human.clock(self._found["Created"])

    def RunningFor(self) -> str:
        return human.ago(self._found["Created"])

    def Ports(self) -> str:
        found = self._found.get("Ports")
        if not found:
            return ""
        from onggi.cli import ports

        return ports.displayed(found)

    def State(self) -> str:
        return str(self._found.get("State", ""))

    def Status(self) -> str:
        return str(self._found.get("Status", ""))

    def tint(self, name: str) -> str:
        if name not in ("Status", "State"):
            return ""
        status = self.Status()
        if self._found.get("State") == "running":
            return color.RED if "(unhealthy)" in status else color.GREEN
        if self._found.get("State") in ("paused", "restarting"):
            return color.YELLOW
        return color.DIM if status.startswith(("Created", "Exited (0)")) else color.RED

    def Size(self) -> str:
        shown = human.size(self._found.get("SizeRw") or 0, 3)
        virtual = self._found.get("SizeRootFs") or 0
        return f"{shown} (virtual {human.size(virtual, 3)})" if virtual > 0 else shown

    def Labels(self) -> str:
        return listing.labels(self._found.get("Labels"))

    def Label(self, name: str) -> str:
        return str((self._found.get("Labels") or {}).get(name, ""))

    def Mounts(self) -> str:
        names = [mount.get("Name") or mount.get("Source", "") for mount in self._found.get("Mounts") or []]
        return ",".join(name if self._full else human.ellipsis(name, 15) for name in names)

    def LocalVolumes(self) -> str:
        return str(sum(mount.get("Driver") == "local" for mount in self._found.get("Mounts") or []))

    def Networks(self) -> str:
        return ",".join((self._found.get("NetworkSettings") or {}).get("Networks") or {})

    def Platform(self) -> Any:
        described = (self._found.get("ImageManifestDescriptor") or {}).get("platform")
        return f"{described['os']}/{described['architecture']}" if described else None


def run(session: Session, flags: Flags, args: list[str]) -> int:
    form = flags["format"]
    limit = 1 if flags["latest"] and flags["last"] == -1 else flags["last"]
    sized = flags["size"]
    if form and not sized and "Size" in form and form != "json":
        sized = ".Size" in form
    if form.replace(" ", "") in ("{{json.}}",):
        sized = True
    found = session.engine.get(
        "/containers/json",
        all=True if flags["all"] else None,
        limit=limit if limit != -1 else None,
        size=True if sized else None,
        filters=filters(flags["filter"]),
    )
    rows = [Container(item, full=flags["no-trunc"]) for item in found]
    if flags["quiet"]:
        if form:
            session.err("WARNING: Ignoring custom format, because both --format and --quiet are set.")
        sys.stdout.write("".join(row.ID() + "\n" for row in rows))
        return 0
    columns = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
    if flags["size"]:
        columns.append("Size")
    raw = RAW + ("size: {{.Size}}\n" if flags["size"] else "")
    listing.show(form, rows, HEADERS, columns, raw)
    return 0

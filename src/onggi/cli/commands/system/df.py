"""Show how much disk the engine uses."""

from __future__ import annotations

import sys

from onggi.cli import human, listing, reference
from onggi.cli.commands.container import ls as containers
from onggi.cli.commands.image import ls as images
from onggi.cli.commands.volume import ls as volumes
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("verbose", "v", "bool", False, "Every image, container and volume"),
)
HEADERS = {
    "Active": "ACTIVE", "Reclaimable": "RECLAIMABLE", "Size": "SIZE", "TotalCount": "TOTAL", "Type": "TYPE",
}  # fmt: skip
CACHE_COLUMNS = ["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"]
CACHE_HEADERS = {
    "ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED", "UsageCount": "USAGE", "Shared": "SHARED", "Parent": "PARENT",
    "Description": "DESCRIPTION", "InUse": "IN USE", "CreatedAt": "CREATED AT", "LastUsedAt": "LAST USED AT",
}  # fmt: skip


class Usage(listing.Row):
    """One line: what kind, how many, how many in use, bytes, bytes that could be freed."""

    template_type = "*formatter.diskUsageContext"
    fields = tuple(HEADERS)

    def __init__(self, kind: str, total: int, active: int, size: int, unused: int, *, percent: bool) -> None:
        self._kind = kind
        self._total = total
        self._active = active
        self._size = size
        self._unused = unused
        self._percent = percent

    def Type(self) -> str:
        return str(self._kind)

    def TotalCount(self) -> str:
        return str(self._total)

    def Active(self) -> str:
        return str(self._active)

    def Size(self) -> str:
        return human.size(self._size)

    def Reclaimable(self) -> str:
        shown = human.size(self._unused)
        if self._percent and self._size > 0:
            return f"{shown} ({self._unused * 100 // self._size}%)"
        return shown


class Cached(listing.Row):
    """A record of the build cache."""

    template_type = "*formatter.buildCacheContext"
    fields = tuple(CACHE_HEADERS)

    def __init__(self, found: dict[str, Any], *, full: bool = False) -> None:
        self._found = found
        self._full = full

    def ID(self) -> str:
        identifier = str(self._found["ID"])[: None if self._full else 12]
        return identifier + ("*" if self._found.get("InUse") else "")

    def CacheType(self) -> str:
        return str(self._found["Type"])

    def Size(self) -> str:
        return human.size(self._found["Size"], 3)

    def CreatedSince(self) -> str:
        return human.since(self._found["CreatedAt"])

    def LastUsedSince(self) -> str:
        used = self._found.get("LastUsedAt")
        return human.since(used) if used else ""

    def CreatedAt(self) -> str:
        return _go_time(self._found["CreatedAt"])

    def LastUsedAt(self) -> str:
        return _go_time(self._found.get("LastUsedAt") or "")

    def Description(self) -> str:
        return str(self._found.get("Description", ""))

    def Parent(self) -> str:
        parents = ", ".join(self._found.get("Parents") or [])
        return parents if self._full else parents[:12]

    def InUse(self) -> str:
        return str(bool(self._found.get("InUse"))).lower()

    def UsageCount(self) -> str:
        return str(self._found["UsageCount"])

    def Shared(self) -> str:
        return str(bool(self._found.get("Shared"))).lower()


def _go_time(text: str) -> str:
    """2026-11-26T18:17:58.0797Z as Go prints it."""
    return f"{text[:10]} {text[11:].rstrip('Z')} +0000 UTC" if text else ""


def _lists(found: dict[str, Any]) -> dict[str, Any]:
    """The lists themselves: from 1.53 on they are the items of a summary of each kind."""
    for name, usage in (
        ("Images", "ImageUsage"),
        ("Containers", "ContainerUsage"),
        ("Volumes", "VolumeUsage"),
    ):
        if usage in found:
            found[name] = found[usage].get("Items")
    if "BuildCacheUsage" in found:
        found["BuildCache"] = found["BuildCacheUsage"].get("Items")
    if "ImageUsage" in found:
        found["LayersSize"] = found["ImageUsage"]["TotalSize"]
        found["ImagesFree"] = found["ImageUsage"]["Reclaimable"]
    return found


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = _lists(session.engine.get("/system/df", verbose=True))
    if not flags["verbose"]:
        columns = ["Type", "TotalCount", "Active", "Size", "Reclaimable"]
        listing.show(flags["format"], _summary(found), HEADERS, columns)
        return 0
    if flags["format"] in ("", "table"):
        _verbose(session, found)
    else:
        _templated(found, flags["format"])
    return 0


class Everything:
    """What --verbose hands to a template: the rows of each kind."""

    template_type = "*formatter.diskUsageContext"

    def __init__(self, found: dict[str, Any]) -> None:
        self._rows: dict[str, list[Any]] = {
            "Images": _images(found, full=True),
            "Containers": [_Stopped(item, full=True) for item in found.get("Containers") or []],
            "Volumes": [volumes.Volume(item) for item in found.get("Volumes") or []],
            "BuildCache": [Cached(item, full=True) for item in found.get("BuildCache") or []],
        }

    def lookup(self, name: str) -> list[Any]:
        """Raises KeyError."""
        return self._rows[name]

    def as_json(self) -> dict[str, Any]:
        return {kind: [row.as_json() for row in rows] for kind, rows in self._rows.items()}


def _templated(found: dict[str, Any], form: str) -> None:
    """Without a line's end but the template's own, as Docker's."""
    from onggi.cli.template import Template, TemplateError

    source = "{{json .}}" if form == "json" else form[5:].strip(" ") if form.startswith("table") else form
    try:
        text = Template(source.replace("\\t", "\t").replace("\\n", "\n")).execute(Everything(found))
    except TemplateError as error:
        raise CommandError(str(error)) from None
    sys.stdout.write(text)


def _images(found: dict[str, Any], *, full: bool) -> list[images.Image]:
    """One row for each image, by the first of its names."""
    listed = []
    for item in found.get("Images") or []:
        name, tag = "<none>", "<none>"
        if names := [word for word in item.get("RepoTags") or [] if word != "<none>:<none>"]:
            name, tag = reference.split(names[0])
        listed.append(images.Image(item, name, tag, "", full=full))
    return listed


def _summary(found: dict[str, Any]) -> list[Usage]:
    listed_images = found.get("Images") or []
    listed_containers = found.get("Containers") or []
    listed_volumes = found.get("Volumes") or []
    cache = found.get("BuildCache") or []
    layers = found.get("LayersSize", 0)
    used = sum(
        image["Size"] - (image["SharedSize"] if image["SharedSize"] != -1 else 0)
        for image in listed_images
        if image["Containers"] != 0 and image["Size"] != -1
    )
    running = [item for item in listed_containers if item["State"] in ("running", "paused", "restarting")]
    size = sum(item.get("SizeRw") or 0 for item in listed_containers)
    live = sum(item.get("SizeRw") or 0 for item in running)
    known = [item for item in listed_volumes if (item.get("UsageData") or {}).get("Size", -1) != -1]
    volume_size = sum(item["UsageData"]["Size"] for item in known)
    volume_free = sum(item["UsageData"]["Size"] for item in known if not item["UsageData"]["RefCount"])
    in_use = sum(bool((item.get("UsageData") or {}).get("RefCount")) for item in listed_volumes)
    cache_size = sum(item["Size"] for item in cache if not item.get("Shared"))
    cache_used = sum(item["Size"] for item in cache if item.get("InUse") and not item.get("Shared"))
    return [
        Usage("Images", len(listed_images), sum(bool(image["Containers"]) for image in listed_images), layers,
              found.get("ImagesFree", layers - used), percent=True),
        Usage("Containers", len(listed_containers), len(running), size, size - live, percent=True),
        Usage("Local Volumes", len(listed_volumes), in_use, volume_size, volume_free, percent=True),
        Usage("Build Cache", len(cache), sum(bool(item.get("InUse")) for item in cache), cache_size,
              cache_size - cache_used, percent=False),
    ]  # fmt: skip


def _verbose(session: Session, found: dict[str, Any]) -> None:
    session.out("Images space usage:\n")
    image_columns = [
        "Repository",
        "Tag",
        "ID",
        "CreatedSince",
        "Size",
        "SharedSize",
        "UniqueSize",
        "Containers",
    ]
    listing.show("", _images(found, full=False), images.HEADERS, image_columns)
    session.out("\nContainers space usage:\n")
    rows = [_Stopped(item, full=False) for item in found.get("Containers") or []]
    columns = ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"]
    listing.show("", rows, containers.HEADERS, columns)
    session.out("\nLocal Volumes space usage:\n")
    listing.show(
        "",
        [volumes.Volume(item) for item in found.get("Volumes") or []],
        volumes.HEADERS,
        ["Name", "Links", "Size"],
    )
    cache = found.get("BuildCache") or []
    total = human.size(sum(item["Size"] for item in cache if not item.get("Shared")))
    session.out(f"\nBuild cache usage: {total}\n")
    listing.show("", [Cached(item) for item in cache], CACHE_HEADERS, CACHE_COLUMNS)


class _Stopped(containers.Container):
    """A container without the size of its image."""

    def Size(self) -> str:
        return human.size(self._found.get("SizeRw") or 0, 3)

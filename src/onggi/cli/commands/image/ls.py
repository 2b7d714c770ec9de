"""List images."""

from __future__ import annotations

import sys

from onggi.cli import human, listing, reference
from onggi.cli.commands.image import tree
from onggi.cli.engine import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[REPOSITORY[:TAG]]"
ARGUMENTS = (0, 1)
FLAGS = (
    ("all", "a", "bool", False, "Those in between, which builds leave, too"),
    ("digests", "", "bool", False, "Show digests"),
    ("filter", "f", "filter", None, "Only those that fit, such as dangling=true"),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("no-trunc", "", "bool", False, "Show everything in full length"),
    ("quiet", "q", "bool", False, "Only ids"),
    ("tree", "", "bool", False, "Images with all their names and platforms, and whether they are in use"),
)
HEADERS = {
    "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
}  # fmt: skip
RAW = (
    "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\n"
    "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n"
)
RAW_DIGESTS = RAW.replace("image_id", "digest: {{.Digest}}\nimage_id")


class Image(listing.Row):
    """One name of an image; `found` is the engine's summary."""

    template_type = "*formatter.imageContext"
    fields = tuple(HEADERS)

    def __init__(self, found: dict[str, Any], name: str, tag: str, digest: str, *, full: bool) -> None:
        self._found = found
        self._name = name
        self._tag = tag
        self._digest = digest
        self._full = full

    def ID(self) -> str:
        return str(self._found["Id"]) if self._full else human.short_id(self._found["Id"])

    def Repository(self) -> str:
        return self._name

    def Tag(self) -> str:
        return self._tag

    def Digest(self) -> str:
        return self._digest

    def CreatedSince(self) -> str:
        created = self._found.get("Created", 0)
        return human.ago(created) if created > 0 else "N/A"

    def CreatedAt(self) -> str:
        return human.clock(self._found.get("Created", 0))

    def Size(self) -> str:
        return human.size(self._found.get("Size", 0), 3)

    def VirtualSize(self) -> str:
        return human.size(self._found.get("Size", 0))

    def Containers(self) -> str:
        count = self._found.get("Containers", -1)
        return "N/A" if count == -1 else str(count)

    def SharedSize(self) -> str:
        shared = self._found.get("SharedSize", -1)
        return "N/A" if shared == -1 else human.size(shared)

    def UniqueSize(self) -> str:
        shared = self._found.get("SharedSize", -1)
        return "N/A" if shared == -1 else human.size(self._found.get("Size", 0) - shared)


def rows(found: list[dict[str, Any]], *, full: bool, digests: bool) -> list[Image]:
    """A row for each tag, or for each digest without one; `<none>` where there is no name."""
    listed = []
    for image in found:
        names: dict[str, tuple[list[str], list[str]]] = {}
        for word in image.get("RepoTags") or []:
            name, tag = reference.split(word)
            if word != "<none>:<none>":
                names.setdefault(name, ([], []))[0].append(tag)
        for word in image.get("RepoDigests") or []:
            name, _, digest = word.partition("@")
            if word != "<none>@<none>":
                names.setdefault(name, ([], []))[1].append(digest)
        if not names:
            listed.append(Image(image, "<none>", "<none>", "<none>", full=full))
        for name, (tags, hashes) in names.items():
            if not digests:
                shown = [(tag, (hashes or ["<none>"])[0]) for tag in tags] or [("<none>", hashes[0])]
            else:
                shown = [(tag, digest) for tag in tags or ["<none>"] for digest in hashes or ["<none>"]]
            listed += [Image(image, name, tag, digest, full=full) for tag, digest in shown]
    return listed


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["tree"]:
        tree.refuse(flags)
    wanted = list(flags["filter"])
    if args:
        wanted.append(f"reference={args[0]}")
    found = session.engine.get(
        "/images/json",
        all=True if flags["all"] else None,
        manifests=True if flags["tree"] else None,
        filters=filters(wanted),
    )
    found.sort(key=lambda image: -image.get("Created", 0))
    if flags["tree"]:
        containers = session.engine.get("/containers/json", all=True)
        tree.show(found, {item["ImageID"] for item in containers})
        return 0
    if flags["quiet"]:
        full = flags["no-trunc"]
        lines = [row.ID() for row in rows(found, full=full, digests=False)]
        sys.stdout.write("".join(line + "\n" for line in lines))
        return 0
    digests = flags["digests"]
    columns = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    if digests:
        columns.insert(2, "Digest")
    with_digests = digests or "{{.Digest}}" in flags["format"]
    listed = rows(found, full=flags["no-trunc"], digests=with_digests)
    listing.show(flags["format"], listed, HEADERS, columns, RAW_DIGESTS if digests else RAW)
    return 0

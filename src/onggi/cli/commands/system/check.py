"""Look for faults of the store, and mend them.

GET /system/check, POST /system/check. Onggi's own: other engines answer "page not found". Exit status 1 where
a fault is left.
"""

from __future__ import annotations

from onggi.cli import human, listing
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("dry-run", "", "bool", False, "With --repair: only show what it would do"),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("quick", "", "bool", False, "Compare rows with names of files; do not read what is in them"),
    ("repair", "", "bool", False, "Mend what can be mended; nothing that something refers to is deleted"),
)
HEADERS = {
    "Kind": "KIND", "Object": "OBJECT", "Size": "SIZE", "Fault": "FAULT", "Remedy": "REMEDY",
    "Outcome": "OUTCOME",
}  # fmt: skip


class Fault(listing.Row):
    template_type = "*formatter.faultContext"
    fields = tuple(HEADERS)

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def Kind(self) -> str:
        return str(self._found["Kind"])

    def Object(self) -> str:
        name = str(self._found["Object"])
        return human.short_id(name) if name.startswith("sha256:") else human.ellipsis(name, 40)

    def Size(self) -> str:
        return human.size(self._found["Size"])

    def Fault(self) -> str:
        return str(self._found["Fault"])

    def Remedy(self) -> str:
        return str(self._found["Remedy"]) or "none here"

    def Outcome(self) -> str:
        return str(self._found["Outcome"])


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["dry-run"] and not flags["repair"]:
        raise CommandError("--dry-run shows what --repair would do: give both")
    quick = True if flags["quick"] else None
    if flags["repair"] and not flags["dry-run"]:
        report = session.engine.post("/system/check", quick=quick)
    else:
        report = session.engine.get("/system/check", quick=quick)
    rows = [Fault(found) for found in report["Faults"]]
    columns = ["Kind", "Object", "Size", "Fault", "Outcome" if flags["repair"] else "Remedy"]
    if flags["dry-run"]:
        columns = ["Kind", "Object", "Size", "Fault", "Remedy"]
    if rows or flags["format"]:
        listing.show(flags["format"], rows, HEADERS, columns)
    if not flags["format"]:
        session.out(("\n" if rows else "") + _summary(report, rows))
    return 1 if report["Left"] else 0


def _summary(report: dict[str, Any], rows: list[Fault]) -> str:
    done = report["Checked"]
    parts = [
        f"{done[name]} {name}"
        for name in ("images", "layers", "blobs", "snapshots", "containers", "volumes", "networks")
    ]
    seen = f"Looked at {', '.join(parts)}; read {human.size(done['bytes_read'])}."
    left = report["Left"]
    verdict = f"{left} fault{'' if left == 1 else 's'} left." if left else "No fault."
    if rows and not left:
        verdict = f"{len(rows)} mended, no fault left."
    return f"{seen} {verdict}"

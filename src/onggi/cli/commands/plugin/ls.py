"""List plugins: this engine has none, another engine may."""

from __future__ import annotations

from onggi.cli import listing
from onggi.cli.engine import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("filter", "f", "filter", None, "Only those that fit, such as enabled=true"),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("no-trunc", "", "bool", False, "Show everything in full length"),
    ("quiet", "q", "bool", False, "Only ids"),
)
HEADERS = {
    "Description": "DESCRIPTION",
    "Enabled": "ENABLED",
    "ID": "ID",
    "Name": "NAME",
    "PluginReference": "PLUGINREFERENCE",
}
_ID, _DESCRIPTION = 12, 45


class Plugin(listing.Row):
    """One plugin of the engine's answer."""

    template_type = "*formatter.pluginContext"
    fields = tuple(HEADERS)

    def __init__(self, found: dict[str, Any], *, full: bool) -> None:
        self._found = found
        self._full = full

    def Description(self) -> str:
        text = (
            str((self._found.get("Config") or {}).get("Description") or "")
            .replace("\n", "")
            .replace("\r", "")
        )
        return text if self._full or len(text) <= _DESCRIPTION else text[: _DESCRIPTION - 1] + "\u2026"

    def Enabled(self) -> bool:
        return bool(self._found.get("Enabled"))

    def ID(self) -> str:
        identifier = str(self._found.get("Id", ""))
        return identifier if self._full else identifier[:_ID]

    def Name(self) -> str:
        return str(self._found.get("Name", ""))

    def PluginReference(self) -> str:
        return str(self._found.get("PluginReference", ""))


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = session.engine.get("/plugins", filters=filters(flags["filter"])) or []
    rows = [
        Plugin(plugin, full=flags["no-trunc"]) for plugin in sorted(found, key=lambda one: str(one["Name"]))
    ]
    if flags["quiet"]:
        for row in rows:
            session.out(row.ID())
        return 0
    listing.show(flags["format"], rows, HEADERS, ["ID", "Name", "Description", "Enabled"])
    return 0

"""Search a registry for images."""

from __future__ import annotations

from onggi.cli import credentials, human, listing
from onggi.cli.engine import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "TERM"
ARGUMENTS = (1, 1)
FLAGS = (
    ("filter", "f", "filter", None, 'Only those that fit (such as "stars=3" or "is-official=true")'),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("limit", "", "int", 0, "How many results at most"),
    ("no-trunc", "", "bool", False, "Show everything in full length"),
)
HEADERS = {
    "Description": "DESCRIPTION", "IsOfficial": "OFFICIAL", "Name": "NAME", "StarCount": "STARS",
}  # fmt: skip
DESCRIPTION_WIDTH = 45


class Found(listing.Row):
    template_type = "*registry.searchContext"
    fields = tuple(HEADERS)

    def __init__(self, found: dict[str, Any], *, full: bool, as_json: bool) -> None:
        self._found = found
        self._full = full
        self._as_json = as_json

    def Name(self) -> str:
        return str(self._found.get("name", ""))

    def Description(self) -> str:
        text = str(self._found.get("description") or "").replace("\n", " ").replace("\r", " ")
        return text if self._full else human.ellipsis(text, DESCRIPTION_WIDTH)

    def StarCount(self) -> str:
        return str(self._found.get("star_count", 0))

    def IsOfficial(self) -> str:
        official = bool(self._found.get("is_official"))
        if self._as_json:
            return str(official).lower()
        return "[OK]" if official else ""


def run(session: Session, flags: Flags, args: list[str]) -> int:
    term = args[0]
    if any(word.strip().lower().startswith("is-automated") for word in flags["filter"]):
        session.err(
            'WARNING: the "is-automated" filter is deprecated, and searching for "is-automated=true" '
            "will not yield any results in future."
        )
    limit = flags["limit"] if flags["limit"] > 0 else None
    found = session.engine.call(
        "GET",
        "/images/search",
        {"term": term, "limit": limit, "filters": filters(flags["filter"])},
        headers={"X-Registry-Auth": credentials.header(session, term)},
    )
    as_json = flags["format"] == "json"
    rows = [Found(item, full=flags["no-trunc"], as_json=as_json) for item in found or []]
    listing.show(flags["format"], rows, HEADERS, ["Name", "Description", "StarCount", "IsOfficial"])
    return 0

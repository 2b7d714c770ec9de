"""onggi-runtime list: the containers below --root, as a table or as JSON."""

from __future__ import annotations

import sys

from onggi.errors import InvalidParameter
from onggi.jsontext import dumps
from onggi.runtime import state
from onggi.runtime.options import Option
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS = {
    "format": Option("table|json", "form of the list", short="f", default="table"),
    "quiet": Option(None, "only the ids", short="q"),
}
COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")


def run(runtime: Runtime, words: list[str]) -> int:
    options, _ = line.split("list", OPTIONS, words, "[options]", 0, 0)
    containers = state.listed(runtime.root)
    if options["quiet"]:
        sys.stdout.write("".join(f"{container.id}\n" for container in containers))
        return 0
    states = [container.state() for container in containers]
    if options["format"] == "json":
        sys.stdout.write(dumps(states or None) + "\n")
    elif options["format"] == "table":
        sys.stdout.write(
            table([[name.upper() for name in COLUMNS], *([str(s[c]) for c in COLUMNS] for s in states)])
        )
    else:
        raise InvalidParameter("invalid format option")
    return 0


def table(rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell, at least 12, as runc's tabwriter has them."""
    widths = [max(12, *(len(row[column]) + 3 for row in rows)) - 1 for column in range(len(rows[0]))]
    lines = [
        " ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join(lines) + "\n"

"""Show the engine's events as they happen."""

from __future__ import annotations

import sys
import time

from onggi.cli.engine import filters
from onggi.cli.moments import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("filter", "f", "filter", None, "Only those that fit, such as type=container"),
    ("format", "", "string", "", "How to print: json, or a Go template"),
    ("since", "", "string", "", "From this time on, those of the past too"),
    ("until", "", "string", "", "Up to this time"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    from onggi.cli.listing import object_text

    parameters = {name: moment(flags[name]) if flags[name] else None for name in ("since", "until")}
    parameters["filters"] = filters(flags["filter"])
    form = flags["format"]
    if form and form != "json":
        _check(form)
    response = session.engine.open("GET", "/events", parameters)
    for event in session.engine.messages(response):
        sys.stdout.write((object_text(event, form) if form else _line(event)) + "\n")
        sys.stdout.flush()
    return 0


def _check(form: str) -> None:
    from onggi.cli.errors import CommandError
    from onggi.cli.template import Template, TemplateError

    try:
        Template(form)
    except TemplateError as error:
        raise CommandError(f"Error parsing format: {error}", 64) from None


def _line(event: dict[str, Any]) -> str:
    at = event.get("timeNano") or event.get("time", 0) * 10**9
    local = time.localtime(at // 10**9)
    zone = time.strftime("%z", local)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", local) + f".{at % 10**9:09d}"
    stamp += "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    actor = event.get("Actor") or {}
    text = f"{stamp} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    attributes = sorted((actor.get("Attributes") or {}).items())
    return text + (
        " (" + ", ".join(f"{name}={value}" for name, value in attributes) + ")" if attributes else ""
    )

"""Print what a container wrote."""

from __future__ import annotations

from onggi.cli import streams
from onggi.cli.moments import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER"
ARGUMENTS = (1, 1)
FLAGS = (
    ("details", "", "bool", False, "Show the extra fields of the log driver"),
    ("follow", "f", "bool", False, "Go on as more is written"),
    ("since", "", "string", "", "Only from a time (2013-01-02T13:23:37Z) or an age (42m) on"),
    ("tail", "n", "string", "all", "Only the last lines"),
    ("timestamps", "t", "bool", False, "Show when each line was written"),
    ("until", "", "string", "", "Only before a time (2013-01-02T13:23:37Z) or an age (42m)"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    engine = session.engine
    found = engine.get(f"/containers/{args[0]}/json")
    parameters: dict[str, Any] = {"stdout": True, "stderr": True}
    parameters |= {name: flags[name] or None for name in ("follow", "timestamps", "details")}
    parameters |= {
        name: moment(flags[name], f'invalid value for "{name}"') if flags[name] else None
        for name in ("since", "until")
    }
    parameters["tail"] = flags["tail"]
    response = engine.open("GET", f"/containers/{found['Id']}/logs", parameters)
    sink: Any = streams.Plain(1) if found["Config"]["Tty"] else streams.Demultiplexer(1, 2)
    while data := response.read_some():
        sink.feed(data)
    return 0

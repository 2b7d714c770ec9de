"""Show the version of the command and of the engine."""

from __future__ import annotations

import sys

from onggi import __version__
from onggi.cli.errors import CommandError
from onggi.cli.human import days, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (("format", "f", "string", "", "How to print: json, or a Go template"),)
API_VERSION = "1.50"
_WEEKDAYS = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def client() -> dict[str, Any]:
    """What this command says of itself, under Docker's names."""
    import os

    machine = os.uname().machine
    return {
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": sys.version.partition(" ")[0],
        "Os": "linux",
        "Arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        "Context": "default",
    }


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found: dict[str, Any] = {"Client": client(), "Server": None}
    failure = ""
    try:
        server = session.engine.get("/version")
    except CommandError as error:
        failure = error.message
    else:
        found["Server"] = server
        newest, ours = _number(server["ApiVersion"]), _number(API_VERSION)
        found["Client"]["ApiVersion"] = server["ApiVersion"] if newest < ours else API_VERSION
    if flags["format"]:
        from onggi.cli.listing import object_text

        session.out(object_text(found, flags["format"]))
    else:
        session.out("\n".join([*_client_lines(found["Client"]), *_server_lines(found["Server"])]))
    if failure:
        raise CommandError(failure)
    return 0


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _client_lines(found: dict[str, Any]) -> list[str]:
    shown = found["ApiVersion"]
    if shown != found["DefaultAPIVersion"]:
        shown += f" (downgraded from {found['DefaultAPIVersion']})"
    return [
        "Client: Onggi",
        f" {'Version:':<18} {found['Version']}",
        f" {'API version:':<18} {shown}",
        f" {'Python version:':<18} {found['PythonVersion']}",
        f" {'OS/Arch:':<18} {found['Os']}/{found['Arch']}",
        f" {'Context:':<18} {found['Context']}",
    ]


def _server_lines(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    platform = (found.get("Platform") or {}).get("Name")
    lines = ["", f"Server: {platform}".rstrip()]
    components = found.get("Components") or [
        {"Name": "Engine", "Version": found["Version"], "Details": found}
    ]
    for component in components:
        details = component.get("Details") or {}
        lines += [f" {component['Name']}:", f"  {'Version:':<17} {component['Version']}"]
        if component["Name"] == "Engine":
            lines += [
                f"  {'API version:':<17} {details.get('ApiVersion', '')}"
                f" (minimum version {details.get('MinAPIVersion', '')})",
                f"  {'Go version:':<17} {details.get('GoVersion', '')}",
                f"  {'Git commit:':<17} {details.get('GitCommit', '')}",
                f"  {'Built:':<17} {_built(details.get('BuildTime', ''))}",
                f"  {'OS/Arch:':<17} {details.get('Os', '')}/{details.get('Arch', '')}",
                f"  {'Experimental:':<17} {details.get('Experimental', '')}",
            ]
        else:
            lines += [f"  {name + ':':<17} {details[name]}" for name in sorted(details)]
    return lines


def _built(text: str) -> str:
    """An RFC 3339 time in the words of ctime(3); anything else as it is."""
    try:
        seconds, _ = parse_time(text)
    except ValueError:
        return text
    day = seconds // 86400
    year = 1970 + day // 366
    while days(year + 1, 1, 1) <= day:
        year += 1
    month = 12
    while days(year, month, 1) > day:
        month -= 1
    clock = f"{seconds % 86400 // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
    return f"{_WEEKDAYS[day % 7]} {_MONTHS[month - 1]} {day - days(year, month, 1) + 1:>2} {clock} {year}"

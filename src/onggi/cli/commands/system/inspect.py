"""Show everything about objects of any kind: containers, images, networks, volumes, secrets."""

from __future__ import annotations

from onggi.cli import inspection
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NAME|ID [NAME|ID...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("format", "f", "string", "", "How to print: json, or a Go template"),
    ("size", "s", "bool", False, "Show how much disk it uses, where it is a container"),
    ("type", "", "string", "", "Only objects of this type"),
)
_PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}
_BY_TYPE = {"config": "/configs/{}", "secret": "/secrets/{}"}  # found where the type says so, as by Docker's
_SWARM = ("node", "plugin", "service", "task")


def run(session: Session, flags: Flags, args: list[str]) -> int:
    kind = flags["type"]
    paths = {**_PATHS, **_BY_TYPE}
    if "type" in flags.given and kind not in paths:
        known = ", ".join(f'"{name}"' for name in sorted((*paths, *_SWARM)))
        if kind in _SWARM:
            raise CommandError(f'type "{kind}": this command has no objects of that type')
        if not kind:
            raise CommandError("type is empty: must be one of " + known)
        raise CommandError(f'unknown type: "{kind}": must be one of {known}')

    def find(name: str) -> str:
        for each in [kind] if kind else list(_PATHS):
            size = flags["size"] or None if each == "container" else None
            try:
                return session.engine.get_text(paths[each].format(name), size=size)
            except Refused as error:
                if kind or error.code not in (400, 404):
                    raise
        raise CommandError(f"Error: No such object: {name}")

    return inspection.show(session, args, flags["format"], find)

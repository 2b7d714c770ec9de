"""List a container's published ports, or look one up."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [PRIVATE_PORT[/PROTO]]"
ARGUMENTS = (1, 2)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = session.engine.get(f"/containers/{args[0]}/json")
    published = found["NetworkSettings"].get("Ports") or {}
    if len(args) == 2:
        number, _, protocol = args[1].partition("/")
        if not number.isdigit() or int(number) > 65535:
            raise CommandError(f"Error: invalid port ({number}): invalid syntax")
        bindings = published.get(f"{number}/{protocol or 'tcp'}")
        if not bindings:
            raise CommandError(f"Error: No public port '{args[1]}' published for {args[0]}")
        for binding in bindings:
            session.out(_joined(binding))
        return 0
    lines = [
        f"{port} -> {_joined(binding)}" for port, bindings in published.items() for binding in bindings or []
    ]
    for line in sorted(lines, key=lambda line: (int(line.partition("/")[0]), line)):
        session.out(line)
    return 0


def _joined(binding: dict[str, str]) -> str:
    address = binding["HostIp"]
    return f"[{address}]:{binding['HostPort']}" if ":" in address else f"{address}:{binding['HostPort']}"

"""Show which files differ between two images: A added, C changed, D deleted."""

from __future__ import annotations

from onggi.cli import human

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "IMAGE IMAGE"
ARGUMENTS = (2, 2)
FLAGS = (("quiet", "q", "bool", False, "Only letters and paths, as docker diff"),)
_KINDS = ("C", "A", "D")


def run(session: Session, flags: Flags, args: list[str]) -> int:
    for one in session.engine.get(f"/images/{args[0]}/diff", other=args[1]):
        line = f"{_KINDS[one['Kind']]} {one['Path']}"
        session.out(line if flags["quiet"] else line + _details(one))
    return 0


def _details(one: dict[str, Any]) -> str:
    """(12kB), (content, 12kB -> 13kB), (mode)."""
    facts = list(one["Facts"])
    old, new = one["OldSize"], one["NewSize"]
    if one["Kind"]:
        facts += [human.size(size) for size in (old, new) if size >= 0]
    elif old != new and min(old, new) >= 0:
        facts.append(f"{human.size(old)} -> {human.size(new)}")
    return f" ({', '.join(facts)})" if facts else ""

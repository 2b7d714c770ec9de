"""Say why a step of a build ran, or came out of the cache."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "STEP"
ARGUMENTS = (1, 1)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = session.engine.get("/build/why", step=args[0])
    if not found:
        raise CommandError(f"no step in the build cache is called so: {args[0]}")
    for reason in found:
        session.out(reason["Step"])
        session.out(f"  ran {reason['RanAt']}: {_why(reason)}")
        if reason["Cached"]:
            session.out(
                f"  came out of the cache {reason['Cached']} times since, last {reason['LastUsedAt']}"
            )
    return 0


def _why(reason: dict[str, Any]) -> str:
    if not reason["Before"]:
        return "the cache had no run of it"
    if reason["Changed"]:
        return "changed since the run before: " + ", ".join(reason["Changed"])
    return "it was asked to run in spite of the cache"

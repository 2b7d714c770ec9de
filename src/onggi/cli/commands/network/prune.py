"""Remove unused networks."""

from __future__ import annotations

from onggi.cli import dry_run
from onggi.cli.engine import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    dry_run.ROW,
    ("filter", "", "filter", None, 'Only those that fit (such as "until=24h")'),
    ("force", "f", "bool", False, "Do not ask"),
)
WARNING = "WARNING! This will remove all custom networks not used by at least one container."


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["dry-run"]:
        answer = dry_run.ask(session, "/networks/prune", flags["filter"])
        if answer["NetworksDeleted"]:
            session.out("Would delete:\n" + "\n".join(answer["NetworksDeleted"]) + "\n")
        return 0
    if not flags["force"] and not session.confirm(f"{WARNING}\nAre you sure you want to continue?"):
        return 0
    answer = session.engine.post("/networks/prune", filters=filters(flags["filter"]))
    removed = answer.get("NetworksDeleted") or []
    if removed:
        session.out("Deleted Networks:\n" + "\n".join(removed) + "\n")
    return 0

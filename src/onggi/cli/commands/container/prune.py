"""Remove all stopped containers."""

from __future__ import annotations

from onggi.cli import dry_run, human
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
WARNING = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?"


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["dry-run"]:
        answer = dry_run.ask(session, "/containers/prune", flags["filter"])
        if answer["ContainersDeleted"]:
            session.out("Would delete:\n" + "\n".join(answer["ContainersDeleted"]) + "\n")
        session.out("Total reclaimable space: " + human.size(answer["SpaceReclaimed"]))
        return 0
    if not flags["force"] and not session.confirm(WARNING):
        return 0
    answer = session.engine.post("/containers/prune", filters=filters(flags["filter"]))
    removed = answer.get("ContainersDeleted") or []
    if removed:
        session.out("Deleted Containers:\n" + "\n".join(removed) + "\n")
    session.out("Total reclaimed space: " + human.size(answer.get("SpaceReclaimed") or 0))
    return 0

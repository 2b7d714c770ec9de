"""Remove build cache."""

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
    ("all", "a", "bool", False, "What images share too, not only dangling cache"),
    dry_run.ROW,
    ("filter", "", "filter", None, 'Only what fits (such as "until=24h", "type=exec.cachemount")'),
    ("force", "f", "bool", False, "Do not ask"),
    ("keep-storage", "", "bytes", 0, "Bytes of cache to keep"),
)
WARNINGS = {
    True: "WARNING! This will remove all build cache. Are you sure you want to continue?",
    False: "WARNING! This will remove all dangling build cache. Are you sure you want to continue?",
}


def run(session: Session, flags: Flags, args: list[str]) -> int:
    wanted = {
        "all": flags["all"] or None,
        "keep-storage": flags["keep-storage"] or None,
        "filters": filters(flags["filter"]),
    }
    if flags["dry-run"]:
        answer = dry_run.plan(session, "/build/prune", **wanted)
        if answer["CachesDeleted"]:
            session.out("Would delete:\n" + "\n".join(answer["CachesDeleted"]) + "\n")
        session.out("Total reclaimable space: " + human.size(answer["SpaceReclaimed"]))
        return 0
    if not flags["force"] and not session.confirm(WARNINGS[flags["all"]]):
        return 0
    answer = session.engine.post("/build/prune", **wanted)
    removed = answer.get("CachesDeleted") or []
    if removed:
        session.out("Deleted build cache objects:\n" + "\n".join(removed) + "\n")
    session.out("Total reclaimed space: " + human.size(answer.get("SpaceReclaimed") or 0))
    return 0

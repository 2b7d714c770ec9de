"""Remove unused images."""

from __future__ import annotations

from onggi.cli import human
from onggi.cli.engine import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("all", "a", "bool", False, "All that no container uses, not only those without a name"),
    ("filter", "", "filter", None, 'Only those that fit (such as "until=24h")'),
    ("force", "f", "bool", False, "Do not ask"),
)
ALL = "WARNING! This will remove all images without at least one container associated to them."
DANGLING = "WARNING! This will remove all dangling images."


def run(session: Session, flags: Flags, args: list[str]) -> int:
    warning = ALL if flags["all"] else DANGLING
    if not flags["force"] and not session.confirm(f"{warning}\nAre you sure you want to continue?"):
        return 0
    wanted = [*flags["filter"], f"dangling={'false' if flags['all'] else 'true'}"]
    answer = session.engine.post("/images/prune", filters=filters(wanted))
    removed = answer.get("ImagesDeleted") or []
    if removed:
        session.out("Deleted Images:")
        for item in removed:
            name, what = ("untagged", "Untagged") if item.get("Untagged") else ("deleted", "Deleted")
            session.out(f"{name}: {item[what]}")
        session.out("")
    session.out("Total reclaimed space: " + human.size(answer.get("SpaceReclaimed") or 0))
    return 0

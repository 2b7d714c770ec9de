"""Remove unused images.

--keep, --dry-run and the filter unused-for are Onggi's own; other engines refuse the filters.
"""

from __future__ import annotations

from onggi.cli import dry_run, human, table
from onggi.cli.engine import filters
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("all", "a", "bool", False, "All that no container uses, not only those without a name"),
    dry_run.ROW,
    ("filter", "", "filter", None, 'Only those that fit (such as "until=24h", "unused-for=30d")'),
    ("force", "f", "bool", False, "Do not ask"),
    ("keep", "", "uint", 0, "With --all: leave the newest N of each repository"),
)
ALL = "WARNING! This will remove all images without at least one container associated to them."
DANGLING = "WARNING! This will remove all dangling images."


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["keep"] and not flags["all"]:
        raise CommandError("--keep is of images with names: give --all with it")
    wanted = [*flags["filter"], f"dangling={'false' if flags['all'] else 'true'}"]
    if flags["keep"]:
        wanted.append(f"keep={flags['keep']}")
    if flags["dry-run"]:
        return _plan(session, wanted)
    warning = ALL if flags["all"] else DANGLING
    if not flags["force"] and not session.confirm(f"{warning}\nAre you sure you want to continue?"):
        return 0
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


def _plan(session: Session, wanted: list[str]) -> int:
    answer = dry_run.ask(session, "/images/prune", wanted, "Plan")
    lines = [["IMAGE ID", "NAMES", "CREATED", "LAST USED", "SIZE", "RECLAIMED"]]
    for image in answer["Plan"]:
        lines.append(_line(image))
    if answer["Plan"]:
        session.out("\n".join(table.align(lines)) + "\n")
    session.out("Total reclaimable space: " + human.size(answer.get("SpaceReclaimed") or 0))
    return 0


def _line(image: dict[str, Any]) -> list[str]:
    return [
        human.short_id(image["Id"]),
        ", ".join(image["RepoTags"]) or "<none>",
        human.ago(image["Created"]) if image["Created"] > 0 else "N/A",
        human.ago(image["LastUsed"]) if image["LastUsed"] > 0 else "N/A",
        human.size(image["Size"], 3),
        human.size(image["Reclaimed"], 3),
    ]

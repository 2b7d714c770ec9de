"""Remove unused local volumes."""

from __future__ import annotations

from onggi.cli import dry_run, human
from onggi.cli.engine import filters
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("all", "a", "bool", False, "Named volumes too"),
    dry_run.ROW,
    ("filter", "", "filter", None, 'Only those that fit (such as "label=x")'),
    ("force", "f", "bool", False, "Do not ask"),
)
ALL = "WARNING! This will remove all local volumes not used by at least one container."
NAMELESS = "WARNING! This will remove anonymous local volumes not used by at least one container."


def run(session: Session, flags: Flags, args: list[str]) -> int:
    wanted = list(flags["filter"])
    version = session.engine.get("/version")["ApiVersion"]
    old = tuple(int(part) for part in version.split(".")) < (1, 42)  # such engines remove named ones always
    if flags["all"]:
        if old:
            raise CommandError(
                f'"--all" requires API version 1.42, but the Docker daemon API version is {version}'
            )
        if any(word.startswith("all=") for word in wanted):
            raise CommandError("conflicting options: cannot specify both --all and --filter all=1")
        wanted.append("all=true")
    if flags["dry-run"]:
        answer = dry_run.ask(session, "/volumes/prune", wanted)
        if answer["VolumesDeleted"]:
            session.out("Would delete:\n" + "\n".join(answer["VolumesDeleted"]) + "\n")
        session.out("Total reclaimable space: " + human.size(answer["SpaceReclaimed"]))
        return 0
    warning = ALL if flags["all"] or old else NAMELESS
    if not flags["force"] and not session.confirm(f"{warning}\nAre you sure you want to continue?"):
        return 0
    answer = session.engine.post("/volumes/prune", filters=filters(wanted))
    removed = answer.get("VolumesDeleted") or []
    if removed:
        session.out("Deleted Volumes:\n" + "\n".join(removed) + "\n")
    session.out("Total reclaimed space: " + human.size(answer.get("SpaceReclaimed") or 0))
    return 0

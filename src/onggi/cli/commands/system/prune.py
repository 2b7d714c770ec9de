"""Remove unused data of every kind."""

from __future__ import annotations

from onggi.cli import dry_run, human
from onggi.cli.engine import filters
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("all", "a", "bool", False, "All images that no container uses, not only those without a name"),
    dry_run.ROW,
    ("filter", "", "filter", None, 'Only those that fit (such as "label=x")'),
    ("force", "f", "bool", False, "Do not ask"),
    ("volumes", "", "bool", False, "Nameless volumes too"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    wanted = flags["filter"]
    if flags["volumes"] and any(word.startswith("until=") for word in wanted):
        raise CommandError('ERROR: The "until" filter is not supported with "--volumes"')
    if flags["dry-run"]:
        return _plan(session, flags)
    if not flags["force"] and not session.confirm(_warning(flags)):
        return 0
    total = _containers(session, wanted) + _networks(session, wanted)
    if flags["volumes"]:
        answer = session.engine.post("/volumes/prune", filters=filters(wanted))
        total += _report(session, "Deleted Volumes:", answer.get("VolumesDeleted"), answer)
    total += _images(session, wanted, every=flags["all"])
    total += _cache(session, wanted, every=flags["all"])
    session.out("Total reclaimed space: " + human.size(total))
    return 0


def _plan(session: Session, flags: Flags) -> int:
    answer = dry_run.plan(
        session,
        "/system/prune",
        all=flags["all"] or None,
        volumes=flags["volumes"] or None,
        filters=filters(flags["filter"]),
    )
    for what, title in (
        ("ContainersDeleted", "containers"),
        ("NetworksDeleted", "networks"),
        ("VolumesDeleted", "volumes"),
        ("ImagesDeleted", "images"),
        ("CachesDeleted", "build cache objects"),
    ):
        found = answer[what] if what != "ImagesDeleted" else _image_lines(answer[what])
        if found:
            session.out(f"Would delete {title}:\n" + "\n".join(found) + "\n")
    session.out("Total reclaimable space: " + human.size(answer["SpaceReclaimed"]))
    return 0


def _image_lines(items: list[dict[str, str]]) -> list[str]:
    return [
        f"untagged: {item['Untagged']}" if item.get("Untagged") else f"deleted: {item['Deleted']}"
        for item in items
    ]


def _warning(flags: Flags) -> str:
    lines = [
        "WARNING! This will remove:",
        "  - all stopped containers",
        "  - all networks not used by at least one container",
    ]
    if flags["volumes"]:
        lines.append("  - all anonymous volumes not used by at least one container")
    if flags["all"]:
        lines += ["  - all images without at least one container associated to them", "  - all build cache"]
    else:
        lines += ["  - all dangling images", "  - unused build cache"]
    if flags["filter"]:
        lines += ["", "  Items to be pruned will be filtered with:"]
        lines += [f"  - {word}" for word in sorted(flags["filter"])]
    return "\n".join([*lines, "", "Are you sure you want to continue?"])


def _report(session: Session, title: str, removed: list[str] | None, answer: dict[str, Any]) -> int:
    if removed:
        session.out(title + "\n" + "\n".join(removed) + "\n")
    return int(answer.get("SpaceReclaimed") or 0)


def _containers(session: Session, wanted: list[str]) -> int:
    answer = session.engine.post("/containers/prune", filters=filters(wanted))
    return _report(session, "Deleted Containers:", answer.get("ContainersDeleted"), answer)


def _networks(session: Session, wanted: list[str]) -> int:
    answer = session.engine.post("/networks/prune", filters=filters(wanted))
    return _report(session, "Deleted Networks:", answer.get("NetworksDeleted"), answer)


def _images(session: Session, wanted: list[str], *, every: bool) -> int:
    chosen = [*wanted, f"dangling={'false' if every else 'true'}"]
    answer = session.engine.post("/images/prune", filters=filters(chosen))
    removed = _image_lines(answer.get("ImagesDeleted") or [])
    return _report(session, "Deleted Images:", removed, answer)


def _cache(session: Session, wanted: list[str], *, every: bool) -> int:
    try:
        answer = session.engine.post("/build/prune", all=True if every else None, filters=filters(wanted))
    except Refused as error:
        if error.code in (404, 501):  # an engine without a builder has no cache
            return 0
        raise
    return _report(session, "Deleted build cache objects:", answer.get("CachesDeleted"), answer)

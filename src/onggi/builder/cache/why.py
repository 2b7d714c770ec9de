"""Why a step ran, or did not: the parts of its key beside those of the run before.

A key is made of parts that people can read (solver/keys.py): the instruction, the file system below it, the
files that it copies or mounts. Two runs of what the Dockerfile calls the same differ in at least one of them,
or the step was asked to run in spite of the cache.
"""

from __future__ import annotations

from onggi.builder.cache.cache import Cache, Recorded, recorded
from onggi.spec import timestamp
from onggi.store import build_cache as rows
from onggi.store.build_cache import REGULAR, CacheRow
from onggi.wire.system import BuildReason


def why(cache: Cache, step: str) -> list[BuildReason]:
    """For each step whose name has the text, or whose record begins with it: its last run. Blocking."""
    found: dict[str, list[CacheRow]] = {}
    for row in rows.list_(cache.database):
        if row.kind == REGULAR and row.state == "ready":
            found.setdefault(row.description, []).append(row)
    reasons = []
    for name, runs in found.items():
        if step in name or any(row.id.startswith(step) for row in runs):
            runs.sort(key=lambda row: row.created_at)
            reasons.append(_reason(name, runs))
    return sorted(reasons, key=lambda one: one.ran_at)


def _reason(name: str, runs: list[CacheRow]) -> BuildReason:
    last = runs[-1]
    before = runs[-2] if len(runs) > 1 else None
    return BuildReason(
        step=name,
        id=last.id,
        ran_at=timestamp.text(last.created_at),
        cached=last.uses,
        last_used_at=timestamp.text(last.used_at),
        before=before.id if before is not None else "",
        changed=_changed(recorded(before), recorded(last)) if before is not None else [],
    )


def _changed(before: Recorded, last: Recorded) -> list[str]:
    old, new = dict(_pairs(before)), dict(_pairs(last))
    return [what for what in {**old, **new} if old.get(what) != new.get(what)]


def _pairs(record: Recorded) -> list[tuple[str, str]]:
    return [(part.what, part.digest) for part in record.parts]

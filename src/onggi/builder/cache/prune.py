"""What may go of the build cache, and how it goes: leaves first, the least recently used of them first.

A record that others were made from goes after these, so that the cache never holds a step without the steps
below it. What a running build uses stays. Layers that no record and no image needs are collected at the end.
Failpoints: prune.cache-removed.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator

from onggi import failpoints
from onggi.builder.cache.cache import Cache, recorded
from onggi.images.collect import collect
from onggi.images.images import Images
from onggi.spec import timestamp
from onggi.store import build_cache as rows
from onggi.store.build_cache import CacheRow
from onggi.wire.system import BuildCache, BuildPruneResponse


def listed(cache: Cache, images: Images) -> list[BuildCache]:
    """The records as `system df` shows them. Blocking."""
    shared = _shared(cache, images)
    return [_shown(row, in_use=bool(cache.in_use[row.id]), shared=row.id in shared) for row in _ready(cache)]


def prune(
    cache: Cache,
    images: Images,
    matches: Callable[[BuildCache], bool],
    *,
    everything: bool = False,
    keep_bytes: int = 0,
) -> BuildPruneResponse:
    """Remove records until at most `keep_bytes` of them are left; without `everything` those stay whose
    layers images have too. Blocking.
    """
    removed: list[str] = []
    freed = 0
    with images.lock, cache.lock:
        shared = _shared(cache, images)
        total = sum(row.size for row in _ready(cache))
        for row in _leaves_first(cache):
            if keep_bytes and total <= keep_bytes:
                break
            is_shared = row.id in shared
            shown = _shown(row, in_use=bool(cache.in_use[row.id]), shared=is_shared)
            if shown.in_use or (is_shared and not everything) or not matches(shown):
                continue
            cache.remove(row)
            failpoints.hit("prune.cache-removed")
            removed.append(row.id)
            total -= row.size
            freed += 0 if is_shared else row.size
        if removed:
            collect(images)
    return BuildPruneResponse(caches_deleted=removed or None, space_reclaimed=freed)


def _ready(cache: Cache) -> list[CacheRow]:
    return [row for row in rows.list_(cache.database) if row.state == "ready"]


def _shared(cache: Cache, images: Images) -> set[str]:
    """Records whose layers are those of images."""
    stacks = {row[0] for row in images.database.read("SELECT DISTINCT chain_id FROM stacks")}
    outputs = rows.all_outputs(cache.database)
    return {record for record, chain_ids in outputs.items() if stacks & set(chain_ids)}


def _leaves_first(cache: Cache) -> Iterator[CacheRow]:
    """Each record after all that were made from it; of those that may go, the least recently used first.
    One that is passed over keeps what it stands on.
    """
    todo = {row.id: row for row in _ready(cache)}
    children: Counter[str] = Counter()
    for row in todo.values():
        children.update(parent for parent in recorded(row).parents if parent in todo)
    free = [(row.used_at, row.id) for row in todo.values() if not children[row.id]]
    heapq.heapify(free)
    while free:
        _, record_id = heapq.heappop(free)
        row = todo[record_id]
        yield row
        if rows.get(cache.database, record_id) is not None:
            continue
        for parent in recorded(row).parents:  # it went: what it stood on may be a leaf now
            children[parent] -= 1
            if parent in todo and not children[parent]:
                heapq.heappush(free, (todo[parent].used_at, parent))


def _shown(row: CacheRow, *, in_use: bool, shared: bool) -> BuildCache:
    return BuildCache(
        id=row.id,
        parents=list(recorded(row).parents) or None,
        type=row.kind,
        description=row.description,
        in_use=in_use,
        shared=shared,
        size=row.size,
        created_at=timestamp.text(row.created_at),
        last_used_at=timestamp.text(row.used_at),
        usage_count=row.uses,
    )

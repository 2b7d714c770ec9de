"""What may go of the build cache, and how it goes: leaves first, the least recently used of them first.

A record that others were made from goes after these, so that the cache never holds a step without the steps
below it. What a running build uses stays. Layers that no record and no image needs are collected at the end.
Failpoints: prune.cache-removed.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Set
from typing import Protocol

import msgspec

from onggi import failpoints
from onggi.builder.cache.cache import Cache, recorded
from onggi.images.collect import collect
from onggi.images.images import Images
from onggi.spec import timestamp
from onggi.store import build_cache as rows
from onggi.store import images as image_rows
from onggi.store.build_cache import CacheRow
from onggi.wire.system import BuildCache, BuildPruneResponse


def listed(cache: Cache, images: Images, sizes: Sizes | None = None) -> list[BuildCache]:
    """The records as `system df` shows them; with `sizes` as they are on the disk now. Blocking."""
    shared = _shared(cache, images)
    records = _ready(cache)
    if sizes is not None:
        records = _measured(cache, records, sizes, shared)
    return [_shown(row, in_use=bool(cache.in_use[row.id]), shared=row.id in shared) for row in records]


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes, 0 for no such wish: how much cache may stay, how much of the disk is to be free, and how much
    cache stays even then.
    """

    used_bytes: int = 0
    free_bytes: int = 0
    reserved_bytes: int = 0


class Sizes(Protocol):
    """What is on the disk, in bytes: layers by chain id, directories by name, blobs by digest."""

    @property
    def snapshots(self) -> Mapping[str, int]: ...
    @property
    def trees(self) -> Mapping[str, int]: ...
    @property
    def blobs(self) -> Mapping[str, int]: ...


def _measured(cache: Cache, records: list[CacheRow], sizes: Sizes, shared: Set[str]) -> list[CacheRow]:
    """Each layer that no image has is of the oldest record that it is in, and so is its blob. Shared records
    stay as they are: nobody adds them up.
    """
    database = cache.database
    stacks = {row[0] for row in database.read("SELECT chain_id FROM stacks")}
    kept = {row[0] for row in database.read("SELECT digest FROM blobs")}
    outputs = rows.all_outputs(database)
    found: dict[str, int] = {}
    for row in sorted(records, key=lambda one: (one.created_at, one.id)):
        size = sizes.trees.get(row.tree, 0) if row.tree else 0
        for chain_id in outputs.get(row.id, ()):
            for layer in image_rows.chain(database, chain_id) if chain_id else ():
                if layer.chain_id in stacks:
                    continue
                stacks.add(layer.chain_id)
                size += sizes.snapshots.get(layer.chain_id, 0)
                if layer.blob and layer.blob not in kept:
                    kept.add(layer.blob)
                    size += sizes.blobs.get(layer.blob, 0)
        found[row.id] = row.size if row.id in shared else size
    return [msgspec.structs.replace(row, size=found[row.id]) for row in records]


def prune(
    cache: Cache,
    images: Images,
    matches: Callable[[BuildCache], bool],
    *,
    everything: bool = False,
    keep: Keep | None = None,
    dry_run: bool = False,
    without: Set[str] = frozenset(),
) -> BuildPruneResponse:
    """Remove records until there is what `keep` says; without `everything` those stay whose layers images
    have too. With `dry_run` nothing is removed; `without` are ids of images that are taken as
    gone. Blocking.
    """
    removed: dict[str, None] = {}
    freed = 0
    with images.lock, cache.lock:
        shared = _shared(cache, images, without)
        total = sum(row.size for row in _ready(cache))
        bound = _bound(keep or Keep(), total, images.paths.root)
        for row in _leaves_first(cache, removed):
            if total <= bound:
                break
            is_shared = row.id in shared
            shown = _shown(row, in_use=bool(cache.in_use[row.id]), shared=is_shared)
            if shown.in_use or (is_shared and not everything) or not matches(shown):
                continue
            if not dry_run:
                cache.remove(row)
                failpoints.hit("prune.cache-removed")
            removed[row.id] = None
            total -= row.size
            freed += 0 if is_shared else row.size
        if removed and not dry_run:
            collect(images)
    return BuildPruneResponse(caches_deleted=list(removed) or None, space_reclaimed=freed)


def _bound(keep: Keep, total: int, root: str) -> int:
    """How many bytes of cache may be left; -1 without a bound: all goes. BuildKit's order (control/gc)."""
    if keep == Keep():
        return -1
    bound = keep.used_bytes or (total if keep.free_bytes else 0)
    if keep.free_bytes:
        facts = os.statvfs(root)
        bound = min(bound, total - max(0, keep.free_bytes - facts.f_bavail * facts.f_frsize))
    return max(bound, keep.reserved_bytes, 0)


def _ready(cache: Cache) -> list[CacheRow]:
    return [row for row in rows.list_(cache.database) if row.state == "ready"]


def _shared(cache: Cache, images: Images, without: Set[str] = frozenset()) -> set[str]:
    """Records whose layers are those of images, but for the images `without`."""
    found = images.database.read("SELECT DISTINCT chain_id, image_id FROM stacks")
    stacks = {chain_id for chain_id, image_id in found if image_id not in without}
    outputs = rows.all_outputs(cache.database)
    return {record for record, chain_ids in outputs.items() if stacks & set(chain_ids)}


def _leaves_first(cache: Cache, removed: Container[str]) -> Iterator[CacheRow]:
    """Each record after all that were made from it; of those that may go, the least recently used first.
    One that the caller does not note in `removed` keeps what it stands on.
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
        if record_id not in removed:
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

"""Steps that failed, kept to be looked into and run again.

    a record of kind exec.failed:   output 0     the tree that the step left
                                    roots        the trees that it stood on
                                    record       what it was: FailedStep

Such a record goes as every other: by prune, by the cap, and when KEPT_MAX newer ones are there. It outlives
the engine as the cache does. No secret's value, no proxy and nothing that came from the client is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.builder.entitlements import Entitlements
from onggi.builder.graph import Exec
from onggi.builder.solver.results import Stack
from onggi.errors import InvalidParameter, NotFound
from onggi.images.collect import collect
from onggi.spec.platform import Platform
from onggi.store import build_cache as rows
from onggi.store import images as image_rows
from onggi.wire.containers import HostConfig

if TYPE_CHECKING:
    from onggi.builder.cache.cache import Cache
    from onggi.images.images import Images

KEPT_MAX = 4


class FailedStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`inputs`: chain ids of what it stood on, "" for an empty tree, None for none. `lost`: targets of mounts
    whose files came from the client. `limits`, `network`, `entitlements`: as in RunOptions.
    """

    op: Exec
    platform: Platform
    name: str
    inputs: tuple[str | None, ...] = ()
    lost: tuple[str, ...] = ()
    limits: HostConfig = HostConfig()
    network: str = ""
    entitlements: Entitlements = Entitlements()


class Kept(msgspec.Struct, frozen=True):
    """A step as it was found again. `tree` is what it left."""

    id: str
    step: FailedStep
    tree: Stack
    inputs: tuple[Stack | None, ...]


def find(cache: Cache, name: str) -> Kept:
    """By id, or the beginning of one. Blocking. Raises NotFound, InvalidParameter."""
    found = [row for row in _failed(cache) if name and row.id.startswith(name)]
    if not found:
        raise NotFound(f"no failed step {name} is kept: it was pruned, or has never been")
    if len(found) > 1:
        raise InvalidParameter(f"{name} is the beginning of {len(found)} failed steps' ids")
    step = _step(found[0])
    tree = rows.outputs(cache.database, found[0].id).get(0, "")
    inputs = tuple(None if one is None else _stack(cache, one) for one in step.inputs)
    return Kept(found[0].id, step, _stack(cache, tree), inputs)


def _step(row: rows.CacheRow) -> FailedStep:
    from onggi.builder.cache.cache import recorded

    step = recorded(row).failed
    if step is None:
        raise NotFound(f"failed step {row.id} was kept by another version of this engine")
    return step


def _stack(cache: Cache, chain_id: str) -> Stack:
    layers = image_rows.chain(cache.database, chain_id) if chain_id else []
    if chain_id and not layers:
        raise NotFound(f"layer {chain_id} of a failed step was removed by force")
    return Stack(tuple(layers))


def bound(cache: Cache, images: Images) -> None:
    """Let the oldest go that are too many. Blocking."""
    with images.lock, cache.lock:
        kept = sorted(_failed(cache), key=lambda row: row.created_at)
        old = [row for row in kept[: max(0, len(kept) - KEPT_MAX)] if not cache.in_use[row.id]]
        for row in old:
            cache.remove(row)
        if old:
            collect(images, [])


def _failed(cache: Cache) -> list[rows.CacheRow]:
    return [row for row in rows.list_(cache.database) if row.kind == rows.FAILED and row.state == "ready"]

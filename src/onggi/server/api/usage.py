"""Handlers of disk usage, and of what a prune of everything would free.

Until 1.51 the answer was the lists themselves; from 1.53 it is a summary of each kind, with the lists as
its items where `verbose` asks for them; 1.52 has both.
"""

from __future__ import annotations

from typing import Any

import msgspec

from onggi.builder.classic import prune as prune_
from onggi.engine import filters
from onggi.engine.containers import prune as prune_containers
from onggi.engine.images import prune as prune_images
from onggi.engine.networks import prune as prune_networks
from onggi.engine.system import df as df_
from onggi.engine.volumes import prune as prune_volumes
from onggi.server.messages import Request, Response
from onggi.wire.base import encode
from onggi.wire.system import SystemPrunePlan
from onggi.wire.volumes import VolumesPruneResponse

Listed = list[dict[str, Any]]


async def df(request: Request) -> Response:
    usage, disk, free = await df_.df(request.engine, kinds=frozenset(request.texts("type")))
    if usage.build_cache is not None or usage.images is not None:
        cache = await prune_.usage(request.engine, disk)  # a floor above what df knows
        own = sum(one.size for one in cache if not one.shared)
        usage = msgspec.structs.replace(
            usage,
            build_cache=cache if usage.build_cache is not None else None,
            layers_size=max(usage.layers_size - own, 0),
        )
    lists: dict[str, Any] = msgspec.json.decode(encode(usage))
    if request.version < (1, 52):
        if request.version < (1, 42):
            lists["BuilderSize"] = sum(item["Size"] for item in lists["BuildCache"] or [])
        return Response(body=msgspec.json.encode(lists))
    verbose = request.flag("verbose")
    answer = {} if verbose or request.version > (1, 52) else dict(lists)
    return Response(body=msgspec.json.encode(answer | summaries(lists, free, verbose=verbose)))


async def prune_plan(request: Request) -> Response:
    """What `system prune` would remove, kind after kind: what a container alone uses goes with it."""
    engine, wanted = request.engine, filters.parse(request.text("filters"))
    everything = request.flag("all")
    containers = await prune_containers.prune(engine, wanted, dry_run=True)
    gone = set(containers.containers_deleted)
    networks = await prune_networks.prune(engine, wanted, dry_run=True, without=gone)
    volumes = VolumesPruneResponse()
    if request.flag("volumes"):
        volumes = await prune_volumes.prune(engine, wanted, dry_run=True, without=gone)
    dangling = {"dangling": ["false" if everything else "true"]}
    images = await prune_images.prune(engine, {**wanted, **dangling}, dry_run=True, without=gone)
    lost = {image.id for image in images.plan or ()}
    cache = await prune_.prune(engine, wanted, everything=everything, dry_run=True, without=lost)
    return request.reply(
        SystemPrunePlan(
            containers_deleted=containers.containers_deleted,
            networks_deleted=networks.networks_deleted,
            volumes_deleted=volumes.volumes_deleted,
            images_deleted=images.images_deleted or [],
            caches_deleted=cache.caches_deleted or [],
            space_reclaimed=sum(part.space_reclaimed for part in (containers, volumes, images, cache)),
        )
    )


def summaries(lists: dict[str, Any], images_free: int, *, verbose: bool) -> dict[str, Any]:
    """The form of 1.52, of the kinds that were asked for; `images_free` are bytes of unused images."""
    found = {}
    for key, name, count in (
        ("Images", "ImageUsage", _images),
        ("Containers", "ContainerUsage", _containers),
        ("Volumes", "VolumeUsage", _volumes),
        ("BuildCache", "BuildCacheUsage", _cache),
    ):
        items = lists[key]
        if items is not None:
            active, size, free = count(items, lists["LayersSize"], images_free)
            summary = {
                "ActiveCount": active,
                "TotalCount": len(items),
                "Reclaimable": free,
                "TotalSize": size,
            }
            found[name] = summary | ({"Items": items} if verbose else {})
    return found


def _images(items: Listed, layers_size: int, images_free: int) -> tuple[int, int, int]:
    """Active, bytes, bytes that could be freed."""
    active = sum(item["Containers"] > 0 for item in items)
    return active, layers_size, min(images_free, layers_size)


def _containers(items: Listed, *_: int) -> tuple[int, int, int]:
    active = [item for item in items if item["State"] in ("running", "paused", "restarting")]
    size = sum(item.get("SizeRw") or 0 for item in items)
    return len(active), size, size - sum(item.get("SizeRw") or 0 for item in active)


def _volumes(items: Listed, *_: int) -> tuple[int, int, int]:
    used = [(max(item["UsageData"]["Size"], 0), item["UsageData"]["RefCount"] > 0) for item in items]
    return (
        sum(active for _, active in used),
        sum(size for size, _ in used),
        sum(size for size, active in used if not active),
    )


def _cache(items: Listed, *_: int) -> tuple[int, int, int]:
    own = [item for item in items if not item.get("Shared")]
    return (
        sum(bool(item.get("InUse")) for item in items),
        sum(item["Size"] for item in own),
        sum(item["Size"] for item in own if not item.get("InUse")),
    )

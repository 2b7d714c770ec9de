"""Handler of disk usage.

Until 1.51 the answer was the lists themselves; from 1.53 it is a summary of each kind, with the lists as
its items where `verbose` asks for them; 1.52 has both.
"""

from __future__ import annotations

from typing import Any

import msgspec

from onggi.builder.classic import prune as prune_
from onggi.engine.system import df as df_
from onggi.server.messages import Request, Response
from onggi.wire.base import encode

Listed = list[dict[str, Any]]


async def df(request: Request) -> Response:
    usage = await df_.df(request.engine, kinds=frozenset(request.texts("type")))
    if usage.build_cache is not None:
        cache = await prune_.usage(request.engine)  # a floor above what df knows
        usage = msgspec.structs.replace(usage, build_cache=cache)
    lists: dict[str, Any] = msgspec.json.decode(encode(usage))
    if request.version < (1, 52):
        if request.version < (1, 42):
            lists["BuilderSize"] = sum(item["Size"] for item in lists["BuildCache"] or [])
        return Response(body=msgspec.json.encode(lists))
    verbose = request.flag("verbose")
    answer = {} if verbose or request.version > (1, 52) else dict(lists)
    return Response(body=msgspec.json.encode(answer | summaries(lists, verbose=verbose)))


def summaries(lists: dict[str, Any], *, verbose: bool) -> dict[str, Any]:
    """The form of 1.52, of the kinds that were asked for."""
    found = {}
    for key, name, count in (
        ("Images", "ImageUsage", _images),
        ("Containers", "ContainerUsage", _containers),
        ("Volumes", "VolumeUsage", _volumes),
        ("BuildCache", "BuildCacheUsage", _cache),
    ):
        items = lists[key]
        if items is not None:
            active, size, free = count(items, lists["LayersSize"])
            summary = {
                "ActiveCount": active,
                "TotalCount": len(items),
                "Reclaimable": free,
                "TotalSize": size,
            }
            found[name] = summary | ({"Items": items} if verbose else {})
    return found


def _images(items: Listed, layers_size: int) -> tuple[int, int, int]:
    """Active, bytes, bytes that could be freed: all layers, less those that used images alone have."""
    active = [item for item in items if item["Containers"] > 0]
    used = sum(item["Size"] - max(item["SharedSize"], 0) for item in active)
    return len(active), layers_size, layers_size - used


def _containers(items: Listed, _: int) -> tuple[int, int, int]:
    active = [item for item in items if item["State"] in ("running", "paused", "restarting")]
    size = sum(item.get("SizeRw") or 0 for item in items)
    return len(active), size, size - sum(item.get("SizeRw") or 0 for item in active)


def _volumes(items: Listed, _: int) -> tuple[int, int, int]:
    used = [(max(item["UsageData"]["Size"], 0), item["UsageData"]["RefCount"] > 0) for item in items]
    return (
        sum(active for _, active in used),
        sum(size for size, _ in used),
        sum(size for size, active in used if not active),
    )


def _cache(items: Listed, _: int) -> tuple[int, int, int]:
    own = [item for item in items if not item.get("Shared")]
    return (
        sum(bool(item.get("InUse")) for item in items),
        sum(item["Size"] for item in own),
        sum(item["Size"] for item in own if not item.get("InUse")),
    )

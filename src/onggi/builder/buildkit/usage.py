"""The build cache as BuildKit's clients see it: `buildx du` and `buildx prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onggi.builder.buildkit.messages import kind, timestamp
from onggi.builder.classic import prune as cache
from onggi.errors import InvalidParameter
from onggi.spec import timestamp as timestamps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onggi.engine.engine import Engine
    from onggi.wire.system import BuildCache

_TRUTHS = frozenset({"inuse", "shared", "private"})


async def usage(engine: Engine, expressions: Iterable[str]) -> list[Any]:
    """UsageRecords of what the filters let pass. Raises InvalidParameter."""
    matches = cache.matcher(filters(expressions))
    return [_record(one) for one in await cache.usage(engine) if matches(one)]


async def prune(engine: Engine, request: Any) -> list[Any]:
    """Remove what a PruneRequest names; the UsageRecords of what went. Raises InvalidParameter."""
    if request.minFreeSpace:
        raise InvalidParameter("min-free-space is not known here: the build cache has a cap of its own")
    wanted = filters(request.filter)
    if request.keepDuration:
        wanted["unused-for"] = [f"{request.keepDuration // 1_000_000_000}s"]
    before = {one.id: one for one in await cache.usage(engine)}
    report = await cache.prune(
        engine,
        wanted,
        everything=request.all,
        keep_bytes=max(request.reservedSpace, request.maxUsedSpace),
    )
    return [_record(before[gone]) for gone in report.caches_deleted or () if gone in before]


def filters(expressions: Iterable[str]) -> dict[str, list[str]]:
    """`type==regular,inuse` (containerd's filter language, as far as buildx writes it) as the API's filters.

    Raises InvalidParameter for what the language has besides.
    """
    found: dict[str, list[str]] = {}
    for expression in expressions:
        for term in filter(None, expression.split(",")):
            key, equals, value = term.partition("==")
            truth = not equals and key in _TRUTHS
            if key not in cache.FILTERS or not (equals or truth) or key in found:
                known = ", ".join(sorted(cache.FILTERS))
                raise InvalidParameter(f"invalid filter {term!r}: KEY==VALUE of {known}")
            found[key] = ["true" if truth else value]
    return found


def _record(one: BuildCache) -> Any:
    return kind("UsageRecord")(
        ID=one.id,
        Mutable=one.type == "exec.cachemount",
        InUse=one.in_use,
        Size=one.size,
        CreatedAt=timestamp(timestamps.parse(one.created_at)),
        LastUsedAt=timestamp(timestamps.parse(one.last_used_at)),
        UsageCount=one.usage_count,
        Description=one.description,
        RecordType=one.type,
        Shared=one.shared,
        Parents=one.parents or (),
    )

"""The build cache as BuildKit's clients see it: `buildx du` and `buildx prune`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from onggi.builder.buildkit.messages import kind, timestamp
from onggi.builder.cache.prune import Keep
from onggi.builder.classic import prune as cache
from onggi.builder.patterns import Pattern
from onggi.errors import InvalidParameter
from onggi.spec import timestamp as timestamps
from onggi.wire.system import BuildCache

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

_TRUTHS = frozenset({"inuse", "shared", "private"})
_TEXTS: dict[str, Callable[[BuildCache], list[str]]] = {
    "id": lambda one: [one.id],
    "description": lambda one: [one.description],
    "type": lambda one: [one.type],
    "parent": lambda one: list(one.parents or ()),
    "parents": lambda one: list(one.parents or ()),
}
_TERM = re.compile(r"([\w-]+!?)(==|!=|~=)(.*)", re.DOTALL)
Matches = Callable[["BuildCache"], bool]


async def usage(engine: Engine, expressions: Iterable[str]) -> list[Any]:
    """UsageRecords of what the filters let pass. Raises InvalidParameter."""
    wanted, also = filters(expressions)
    matches = cache.matcher(wanted)
    return [_record(one) for one in await cache.usage(engine) if matches(one) and also(one)]


async def prune(engine: Engine, request: Any) -> list[Any]:
    """Remove what a PruneRequest names; the UsageRecords of what went. Raises InvalidParameter."""
    wanted, also = filters(request.filter)
    if request.keepDuration:
        wanted["unused-for"] = [f"{request.keepDuration // 1_000_000_000}s"]
    before = {one.id: one for one in await cache.usage(engine)}
    report = await cache.prune(
        engine,
        wanted,
        also=also,
        everything=request.all,
        keep=Keep(
            used_bytes=request.maxUsedSpace,
            free_bytes=request.minFreeSpace,
            reserved_bytes=request.reservedSpace,
        ),
    )
    return [_record(before[gone]) for gone in report.caches_deleted or () if gone in before]


def filters(expressions: Iterable[str]) -> tuple[dict[str, list[str]], Matches]:
    """`type==regular,inuse,id~=^ab` (containerd's filter language) as the API's filters, and what these
    cannot say: `!=` and `~=`. Raises InvalidParameter for what the language has besides.
    """
    found: dict[str, list[str]] = {}
    others: list[Matches] = []
    for expression in expressions:
        for term in filter(None, expression.split(",")):
            match = _TERM.fullmatch(term)
            key = match[1] if match else term
            if match is not None and match[2] != "==" and key in _TEXTS:
                others.append(_text(key, match[2], match[3].strip('"')))
                continue
            truth = match is None and key in _TRUTHS
            if key not in cache.FILTERS or not (truth or (match and match[2] == "==")) or key in found:
                known = ", ".join(sorted(cache.FILTERS))
                raise InvalidParameter(f"invalid filter {term!r}: KEY==VALUE of {known}")
            found[key] = ["true" if match is None else match[3]]
    return found, lambda one: all(matches(one) for matches in others)


def _text(key: str, operator: str, value: str) -> Matches:
    read = _TEXTS[key]
    if operator == "!=":
        return lambda one: value not in read(one)
    pattern = Pattern(value)
    return lambda one: any(pattern.search(text) for text in read(one))


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

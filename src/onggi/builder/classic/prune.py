"""`docker builder prune`, the build cache in `docker system df`, `onggi builder why`."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from onggi.builder.builder import builder_of
from onggi.builder.cache import prune as cache_prune
from onggi.builder.cache import why as reasons
from onggi.builder.cache.prune import Keep
from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.errors import InvalidParameter
from onggi.spec import timestamp
from onggi.wire.system import BuildCache, BuildPruneResponse, BuildReason

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset(
    {"until", "unused-for", "id", "parent", "type", "description", "inuse", "shared", "private"}
    | {"label", "label!"}  # of `system prune`; a record has no labels
)


async def prune(
    engine: Engine,
    filters: Filters,
    *,
    also: Callable[[BuildCache], bool] = lambda _: True,
    everything: bool = False,
    keep: Keep | None = None,
    dry_run: bool = False,
    without: Set[str] = frozenset(),
) -> BuildPruneResponse:
    """Remove what no build uses, and the filters and `also` let pass; with `dry_run` say what that is, taking
    the images `without` as gone.

    Raises InvalidParameter.
    """
    passes = matcher(filters)
    builder = await builder_of(engine)
    report = await builder.work(
        cache_prune.prune,
        builder.cache,
        engine.images,
        lambda record: passes(record) and also(record),
        everything=everything,
        keep=keep,
        dry_run=dry_run,
        without=without,
    )
    if not dry_run:
        engine.events.emit("builder", "prune", "", {"reclaimed": str(report.space_reclaimed)})
    return report


async def usage(engine: Engine, sizes: cache_prune.Sizes | None = None) -> list[BuildCache]:
    """The records, least recently used first; with `sizes` as they are on the disk now."""
    builder = await builder_of(engine)
    return await builder.work(cache_prune.listed, builder.cache, engine.images, sizes)


async def why(engine: Engine, step: str) -> list[BuildReason]:
    """Why the steps that are called so ran."""
    builder = await builder_of(engine)
    return await builder.work(reasons.why, builder.cache, step)


def matcher(filters: Filters) -> Callable[[BuildCache], bool]:
    """Does a record pass the filters? Raises InvalidParameter."""
    filters_.check(filters, FILTERS)
    before = _before(filters)
    truths = {name: filters_.truth(filters, name) for name in ("inuse", "shared", "private")}

    def matches(record: BuildCache) -> bool:
        facts = {"inuse": record.in_use, "shared": record.shared, "private": not record.shared}
        return (
            (not before or timestamp.parse(record.last_used_at) < before)
            and all(wanted is None or facts[name] == wanted for name, wanted in truths.items())
            and any(record.id.startswith(value) for value in filters.get("id", ("",)))
            and any(value in ("", record.type) for value in filters.get("type", ("",)))
            and any(value in record.description for value in filters.get("description", ("",)))
            and filters_.labels_pass({}, filters)
            and ("parent" not in filters or bool(set(record.parents or ()) & set(filters["parent"])))
        )

    return matches


def _before(filters: Filters) -> int:
    """The instant before which a record must have been used last; 0 without one."""
    given = [*filters.get("until", ()), *filters.get("unused-for", ())]
    if len(given) > 1:
        raise InvalidParameter("more than one until filter specified")
    return filters_.instant(given[0]) if given else 0

"""List containers, for `docker ps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import image_facts
from onggi.engine.access import own
from onggi.engine.containers import list_filters
from onggi.engine.containers.sizes import sizes
from onggi.engine.containers.summary import summary
from onggi.engine.filters import Filters
from onggi.engine.networks import links
from onggi.errors import InvalidParameter, NotFound
from onggi.wire.containers import ContainerSummary

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine


async def list_(
    engine: Engine, filters: Filters, *, everything: bool = False, limit: int = 0, size: bool = False
) -> list[ContainerSummary]:
    """Containers that pass the filters, newest first: those that run, or with `everything` all.

    A `limit`, or a filter for `status` or `exited`, means all as well.
    Raises InvalidParameter, NoSuchContainer.
    """
    tests = list_filters.tests(engine, filters, await _ancestors(engine, filters))
    everything = everything or limit > 0 or bool(filters.get("status")) or bool(filters.get("exited"))
    found = [
        container
        for container in engine.containers.all()
        if (everything or container.running)
        and own.sees(engine, container.record)
        and all(test(container) for test in tests)
    ]
    if limit > 0:
        found = found[:limit]
    linked = links.aliases(engine)
    if not size:
        return [summary(container.record, aliases=linked.get(container.id, [])) for container in found]
    return [await _with_size(engine, container, linked.get(container.id, [])) for container in found]


async def _with_size(engine: Engine, container: Container, aliases: list[str]) -> ContainerSummary:
    own, whole = await engine.offload(sizes, engine, container.record)
    return summary(container.record, aliases=aliases, size_rw=own, size_root_fs=whole)


async def _ancestors(engine: Engine, filters: Filters) -> frozenset[str]:
    """The images that the `ancestor` filter names, and those that were made from them."""
    found: set[str] = set()
    for reference in filters.get("ancestor", ()):
        try:
            found.add((await image_facts.resolve(engine, reference)).id)
        except (NotFound, InvalidParameter):
            continue  # what is no image here is nobody's ancestor
    waiting = list(found)
    while waiting:
        rows = engine.database.read("SELECT id FROM images WHERE parent_id = ?", waiting.pop())
        children = {str(row[0]) for row in rows} - found
        found |= children
        waiting += children
    return frozenset(found)

"""What happens, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.access import own
from onggi.engine.access.policy import Level
from onggi.engine.filters import Filters
from onggi.wire.system import EventMessage

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def events(
    engine: Engine, filters: Filters, *, since: int = 0, until: int = 0
) -> AsyncIterator[EventMessage]:
    """Events that pass the filters, from `since` to `until` (ns; 0: from now, for ever).

    A filter that there is not lets all pass, as in dockerd.
    """
    return _told(engine, engine.events.subscribe(filters, since=since, until=until))


async def _told(engine: Engine, found: AsyncIterator[EventMessage]) -> AsyncIterator[EventMessage]:
    async for event in found:
        if _visible(engine, event):
            yield _with_old_names(event)


def _visible(engine: Engine, event: EventMessage) -> bool:
    """Who may see his own containers alone is told of them alone."""
    if own.level(engine) is not Level.OWN:
        return True
    if event.type != "container":
        return False
    container = engine.containers.find(event.actor.id)
    return container is not None and own.sees(engine, container.record)


def _with_old_names(event: EventMessage) -> EventMessage:
    """Clients before 1.22 read `status`, `id` and `from`; dockerd sets them for containers and images."""
    if event.type not in ("container", "image"):
        return event
    return msgspec.structs.replace(
        event,
        status=event.action,
        id=event.actor.id,
        from_=event.actor.attributes.get("image", "") if event.type == "container" else "",
    )

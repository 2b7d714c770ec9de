"""What happens, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.wire.system import EventMessage

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset(
    {
        "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope",
        "secret", "service", "type", "volume",
    }
)  # fmt: skip


async def events(
    engine: Engine, filters: Filters, *, since: int = 0, until: int = 0
) -> AsyncIterator[EventMessage]:
    """Events that pass the filters, from `since` to `until` (ns; 0: from now, for ever).

    Raises InvalidParameter.
    """
    filters_.check(filters, FILTERS)
    return _told(engine.events.subscribe(filters, since=since, until=until))


async def _told(found: AsyncIterator[EventMessage]) -> AsyncIterator[EventMessage]:
    async for event in found:
        yield _with_old_names(event)


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

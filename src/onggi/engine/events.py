"""What happened, for `docker events`: a ring of the newest events and a queue-less fan-out.

Every event has a serial number. A subscriber is a cursor over the ring, so a slow one costs no memory; one
that falls behind by more than the ring goes on with the oldest event that is left, as dockerd's do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from onggi.engine import clock
from onggi.engine.access import callers
from onggi.engine.filters import Filters, labels_match
from onggi.errors import InvalidParameter
from onggi.spec import reference
from onggi.wire.system import EventActor, EventMessage

if TYPE_CHECKING:
    from onggi.engine.record import ContainerRecord

RING = 1024
OBJECTS = frozenset(
    ("config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume")
)
WITH_DETAILS = frozenset(("exec_create", "exec_start", "health_status"))  # actions such as `exec_create: sh`


class Events:
    """The bus; used from the event loop's thread only."""

    def __init__(self) -> None:
        self._ring: deque[EventMessage] = deque(maxlen=RING)
        self._count = 0  # serial number of the next event
        self._news: asyncio.Future[None] | None = None
        self._closed = False
        self._last_at = 0
        self.listeners = 0

    def emit(
        self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Tell everyone; `kind` is container, image, volume, network, secret, config, daemon
        or builder.
        """
        instant = max(
            clock.now(), self._last_at + 1
        )  # no two at once: a client goes on behind the last it saw
        self._last_at = instant
        self._ring.append(
            EventMessage(
                type=kind,
                action=action,
                actor=EventActor(id=actor_id, attributes={**(attributes or {}), **_caller()}),
                scope="local",
                time=instant // clock.SECOND,
                time_nano=instant,
            )
        )
        self._count += 1
        self._wake()

    def container(self, action: str, record: ContainerRecord, **extra: str) -> None:
        """An event of a container: its labels, image and name are attributes."""
        attributes = {**record.config.labels, "image": record.config.image, "name": record.name, **extra}
        self.emit("container", action, record.id, attributes)

    def exec_(self, action: str, record: ContainerRecord, exec_id: str, command: Sequence[str]) -> None:
        """An event of an exec instance, with its command as dockerd writes it."""
        program, *arguments = command or ("",)
        self.container(f"{action}: {program} {' '.join(arguments)}", record, execID=exec_id)

    async def subscribe(
        self, filters: Filters | None = None, *, since: int = 0, until: int = 0
    ) -> AsyncIterator[EventMessage]:
        """Events from `since` (ns; 0: from now on) to `until` (ns; 0: for ever) that pass the filters."""
        wanted = filters or {}
        cursor = self._count - len(self._ring) if since or until else self._count
        self.listeners += 1
        try:
            while True:
                # The cursor first: more may come while a slow client takes what there is.
                found, cursor = self._from(cursor), self._count
                for event in found:
                    if until and event.time_nano > until:
                        return
                    if event.time_nano >= since and matches(event, wanted):
                        yield event
                if self._closed or not await self._wait(cursor, until):
                    return
        finally:
            self.listeners -= 1

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        self._wake()

    def _from(self, cursor: int) -> list[EventMessage]:
        behind = min(self._count - cursor, len(self._ring))
        return [self._ring[index] for index in range(len(self._ring) - behind, len(self._ring))]

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        self._news = None

    async def _wait(self, cursor: int, until: int) -> bool:
        """Wait for an event after `cursor`; False when `until` has passed."""
        while self._count == cursor and not self._closed:
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            left = (until - clock.now()) / clock.SECOND if until else None
            if left is not None and left <= 0:
                return False
            await asyncio.wait([self._news], timeout=left)
        return True


def _caller() -> dict[str, str]:
    """Who asked for what has happened: `uid=1000,gid=1000,pid=4711`."""
    caller = callers.current()
    return {"caller": caller.text()} if caller is not None else {}


def matches(event: EventMessage, filters: Filters) -> bool:
    """Docker's rule (daemon/events/filter.go): values of one filter are alternatives, different ones must all
    hold, those that it does not know do.
    """
    return all(_matches(event, name, values) for name, values in filters.items() if values)


def _matches(event: EventMessage, name: str, values: Sequence[str]) -> bool:
    attributes = event.actor.attributes
    match name:
        case "type":
            return event.type in values
        case "event":
            return event.action in values or (
                not WITH_DETAILS.isdisjoint(values) and event.action.startswith(tuple(values))
            )
        case "scope":
            return event.scope in values
        case "label":
            return labels_match(attributes, values)
        case "image":
            return _image(event, values)
        case _ if name in OBJECTS:
            names = (event.actor.id, attributes.get("name", ""))
            return any(one.startswith(tuple(values)) for one in names)
    return True


def _image(event: EventMessage, values: Sequence[str]) -> bool:
    """The image of an event, or of the container of one; with and without its tag."""
    named = event.actor.attributes.get("name" if event.type == "image" else "image", "")
    return any(one in values or _familiar_name(one) in values for one in (event.actor.id, named))


def _familiar_name(text: str) -> str:
    try:
        return reference.parse(text).familiar_name
    except InvalidParameter:
        return text

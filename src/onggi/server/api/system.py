"""Handlers of the engine itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

from onggi.engine import clock, filters
from onggi.engine.system import events as events_
from onggi.engine.system import info as info_
from onggi.engine.system import ping as ping_
from onggi.engine.system import version as version_
from onggi.errors import InvalidParameter
from onggi.server.messages import Request, Response, Stream
from onggi.wire.base import encode
from onggi.wire.system import EventMessage

_PING = (
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Builder-Version", "1"),
    ("Swarm", "inactive"),
)


async def ping(request: Request) -> Response:
    body = b"" if request.method == "HEAD" else await ping_.ping(request.engine)
    return Response(body=body, content_type="text/plain; charset=utf-8", headers=_PING)


async def info(request: Request) -> Response:
    return Response(body=encode(await info_.info(request.engine)))


async def version(request: Request) -> Response:
    return Response(body=encode(await version_.version(request.engine)))


async def events(request: Request) -> Stream:
    since = clock.parse_instant(request.text("since"))
    until = clock.parse_instant(request.text("until"))
    if until and since > until:
        raise InvalidParameter(
            f"`since` time ({request.text('since')}) cannot be after `until` time ({request.text('until')})"
        )
    wanted = filters.parse(request.text("filters"))
    found = await events_.events(request.engine, wanted, since=since, until=until)
    return Stream(_lines(found))


async def _lines(found: AsyncIterator[EventMessage]) -> AsyncIterator[bytes]:
    async for event in found:
        yield encode(event) + b"\n"

"""Handlers of the engine itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from onggi import __version__
from onggi.engine import clock, filters
from onggi.engine.system import events as events_
from onggi.engine.system import info as info_
from onggi.engine.system import ping as ping_
from onggi.engine.system import version as version_
from onggi.errors import InvalidParameter
from onggi.server import versions
from onggi.server.messages import JSON, Request, Response, Stream
from onggi.server.router import VERSION_TEXT
from onggi.wire.system import EventMessage

JSON_LINES = "application/jsonl"
NDJSON = "application/x-ndjson"
SEQUENCE = "application/json-seq"

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
    return request.reply(await info_.info(request.engine))


async def version(request: Request) -> Response:
    return request.reply(await version_.version(request.engine))


async def events(request: Request) -> Stream:
    since = clock.parse_instant(request.text("since"))
    until = clock.parse_instant(request.text("until"))
    if until and since > until:
        raise InvalidParameter(
            f"`since` time ({request.text('since')}) cannot be after `until` time ({request.text('until')})"
        )
    wanted = filters.parse(request.text("filters"))
    found = await events_.events(request.engine, wanted, since=since, until=until)
    content_type = _event_type(request)
    return Stream(_events(request, found, b"\x1e" if content_type == SEQUENCE else b""), content_type)


def _event_type(request: Request) -> str:
    """What the client accepts of the forms that its version has; JSON, as it always was, where it says
    nothing.
    """
    accepted = [word.partition(";")[0].strip() for word in request.headers.get("accept", "").split(",")]
    forms: tuple[str, ...] = (JSON_LINES,) if request.version >= (1, 53) else ()
    forms += (NDJSON, SEQUENCE) if request.version >= (1, 52) else ()
    return next((form for form in forms if form in accepted), JSON)


async def _events(
    request: Request, found: AsyncIterator[EventMessage], before: bytes
) -> AsyncIterator[bytes]:
    """One document a line; `before` is the record separator of RFC 7464."""
    try:
        async for event in found:
            yield before + versions.body(request.method, request.route, request.version, event) + b"\n"
    finally:
        close = getattr(found, "aclose", None)
        if close is not None:
            await close()


async def openapi(request: Request) -> Response:
    """The description of what this engine serves."""
    from onggi.server.description import facts, openapi  # rarely asked for: 160 documents
    from onggi.server.operations import TABLE

    served = [(method, path) for method, path, _ in TABLE]
    described = openapi.document(
        facts.load(), served, version=VERSION_TEXT, title=f"Onggi {__version__}, Engine API"
    )
    return Response(body=msgspec.json.encode(described))

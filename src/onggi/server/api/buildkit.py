"""Handlers of BuildKit's door: connections that change to HTTP/2 and are served until they end."""

from __future__ import annotations

from onggi.builder.builder import builder_of
from onggi.builder.buildkit import connection
from onggi.builder.buildkit.bridge import Bridge
from onggi.builder.buildkit.control import Control
from onggi.builder.buildkit.door import door_of
from onggi.builder.buildkit.history.content import Content
from onggi.builder.buildkit.sessions import Session
from onggi.errors import InvalidParameter
from onggi.server.messages import Request

H2C = "h2c"


async def grpc(request: Request) -> None:
    """Control, LLBBridge and the contents of the history, for one client."""
    _check(request)
    door = door_of(await builder_of(request.engine))
    taken = await request.change_protocol(H2C, ())
    services = (Control(door), Bridge(door), Content(door.history))
    await connection.serve(services, taken.sock, taken.early)


async def session(request: Request) -> None:
    """The other way round: this connection's client answers what builds ask of it."""
    _check(request)
    id = request.headers.get("x-docker-expose-session-uuid", "")
    shared_key = request.headers.get("x-docker-expose-session-sharedkey", "")
    builder = await builder_of(request.engine)
    taken = await request.change_protocol(H2C, ())
    channel = connection.Called(taken.sock, taken.early)
    await door_of(builder).sessions.hold(Session(id, shared_key, channel, builder.work), channel)


def _check(request: Request) -> None:
    if request.headers.get("upgrade", "").lower() != H2C:
        raise InvalidParameter("this endpoint needs an upgrade of the connection to h2c")

"""Handlers of containers: their life, list and inspect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

import msgspec

from onggi.engine import filters
from onggi.engine import learned as learned_
from onggi.engine.containers import create as create_
from onggi.engine.containers import inspect as inspect_
from onggi.engine.containers import kill as kill_
from onggi.engine.containers import list_ as list__
from onggi.engine.containers import pause as pause_
from onggi.engine.containers import prune as prune_
from onggi.engine.containers import remove as remove_
from onggi.engine.containers import rename as rename_
from onggi.engine.containers import restart as restart_
from onggi.engine.containers import start as start_
from onggi.engine.containers import stop as stop_
from onggi.engine.containers import unpause as unpause_
from onggi.engine.containers import update as update_
from onggi.engine.containers import wait as wait_
from onggi.errors import InvalidParameter
from onggi.server import older_requests
from onggi.server.messages import JSON, Request, Response, Stream
from onggi.wire.base import encode
from onggi.wire.containers import ContainerCreateRequest, ContainerUpdateRequest, ContainerWaitResponse

NO_CONTENT = 204


async def list_(request: Request) -> Response:
    listed = await list__.list_(
        request.engine,
        filters.parse(request.text("filters")),
        everything=request.flag("all"),
        limit=request.number("limit"),
        size=request.flag("size"),
    )
    return request.reply(listed)


async def create(request: Request) -> Response:
    asked = older_requests.create(await request.json(ContainerCreateRequest), request.version)
    name = request.text("name")
    platform = request.text("platform") if request.version >= (1, 41) else ""
    created = await create_.create(request.engine, asked, name=name, platform=platform)
    return request.reply(created, 201)


async def inspect(request: Request) -> Response:
    shown = await inspect_.inspect(request.engine, request.params["id"], size=request.flag("size"))
    return request.reply(shown)


async def learned(request: Request) -> Response:
    found = await learned_.learned(request.engine, request.params["id"])
    return Response(body=msgspec.json.encode(found))


async def start(request: Request) -> Response:
    await request.document()  # clients before 1.24 sent a HostConfig, which is read and means nothing
    if request.text("checkpoint"):
        raise InvalidParameter("checkpoint is only supported in experimental mode")
    await start_.start(request.engine, request.params["id"])
    return Response(NO_CONTENT)


async def stop(request: Request) -> Response:
    await stop_.stop(request.engine, request.params["id"], timeout=_timeout(request), signal=_signal(request))
    return Response(NO_CONTENT)


async def restart(request: Request) -> Response:
    await restart_.restart(
        request.engine, request.params["id"], timeout=_timeout(request), signal=_signal(request)
    )
    return Response(NO_CONTENT)


def _timeout(request: Request) -> int | None:
    """Seconds to wait before SIGKILL; None is the container's own."""
    return request.number("t") if request.text("t") else None


def _signal(request: Request) -> str:
    """The signal to stop with; before 1.42 always the container's own."""
    return request.text("signal") if request.version >= (1, 42) else ""


async def kill(request: Request) -> Response:
    await kill_.kill(request.engine, request.params["id"], signal=request.text("signal"))
    return Response(NO_CONTENT)


async def pause(request: Request) -> Response:
    await pause_.pause(request.engine, request.params["id"])
    return Response(NO_CONTENT)


async def unpause(request: Request) -> Response:
    await unpause_.unpause(request.engine, request.params["id"])
    return Response(NO_CONTENT)


async def rename(request: Request) -> Response:
    await rename_.rename(request.engine, request.params["id"], request.text("name"))
    return Response(NO_CONTENT)


async def update(request: Request) -> Response:
    asked = await request.json(ContainerUpdateRequest)
    return request.reply(await update_.update(request.engine, request.params["id"], asked))


async def remove(request: Request) -> Response:
    await remove_.remove(
        request.engine,
        "/".join(request.params.values()),
        force=request.flag("force"),
        volumes=request.flag("v"),
        link=request.flag("link"),
    )
    return Response(NO_CONTENT)


async def wait(request: Request) -> Response | Stream:
    """The head goes out at once: a client starts the container only when it has seen it.

    Before 1.30 it came with the body, and there was one condition.
    """
    if request.version < (1, 30):
        return request.reply(await (await wait_.wait(request.engine, request.params["id"])))
    condition = request.text("condition", "not-running")
    ended = await wait_.wait(request.engine, request.params["id"], condition)
    return Stream(_one(ended), JSON)


async def _one(ended: Awaitable[ContainerWaitResponse]) -> AsyncIterator[bytes]:
    yield encode(await ended) + b"\n"


async def prune(request: Request) -> Response:
    wanted = filters.parse(request.text("filters"))
    return request.reply(await prune_.prune(request.engine, wanted, dry_run=request.flag("dry-run")))

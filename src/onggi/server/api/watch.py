"""Handlers that watch a container: its processes, log and use of resources."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from onggi.engine import clock
from onggi.engine.containers import logs as logs_
from onggi.engine.containers import stats as stats_
from onggi.engine.containers import top as top_
from onggi.server import versions
from onggi.server.messages import JSON, MULTIPLEXED_STREAM, RAW_STREAM, Request, Response, Stream
from onggi.wire.containers import ContainerStatsResponse


async def top(request: Request) -> Response:
    found = await top_.top(request.engine, request.params["id"], ps_args=request.text("ps_args", "-ef"))
    return request.reply(found)


async def logs(request: Request) -> Stream:
    chunks = await logs_.logs(
        request.engine,
        request.params["id"],
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        follow=request.flag("follow"),
        since=clock.parse_instant(request.text("since")),
        until=clock.parse_instant(request.text("until")) if request.version >= (1, 35) else 0,
        timestamps=request.flag("timestamps"),
        tail=request.text("tail", "all"),
        details=request.flag("details"),
    )
    tty = request.engine.containers.get(request.params["id"]).record.config.tty
    multiplexed = not tty and request.version >= (1, 42)
    return Stream(chunks, MULTIPLEXED_STREAM if multiplexed else RAW_STREAM)


async def stats(request: Request) -> Stream:
    readings = await stats_.stats(
        request.engine,
        request.params["id"],
        stream=request.flag("stream", default=True),
        one_shot=request.flag("one-shot") and request.version >= (1, 41),
    )
    return Stream(_lines(request, readings), JSON)


async def _lines(request: Request, readings: AsyncIterator[ContainerStatsResponse]) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(readings):  # type: ignore[type-var]
        async for reading in readings:
            yield versions.body(request.method, request.route, request.version, reading) + b"\n"

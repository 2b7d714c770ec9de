"""Handlers of the store's check: GET looks, POST mends. Onggi's own."""

from __future__ import annotations

from onggi.engine.system import check as check_
from onggi.server.messages import Request, Response
from onggi.wire.base import encode


async def look(request: Request) -> Response:
    return Response(body=encode(await check_.check(request.engine, quick=request.flag("quick"))))


async def repair(request: Request) -> Response:
    report = await check_.check(request.engine, repair=True, quick=request.flag("quick"))
    return Response(body=encode(report))

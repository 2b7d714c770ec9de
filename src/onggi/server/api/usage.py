"""Handler of disk usage."""

from __future__ import annotations

from onggi.engine.system import df as df_
from onggi.server.messages import Request, Response
from onggi.wire.base import encode


async def df(request: Request) -> Response:
    usage = await df_.df(request.engine, kinds=frozenset(request.texts("type")))
    return Response(body=encode(usage))

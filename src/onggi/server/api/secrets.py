"""Handlers of secrets and configs, which work without a swarm; one set for both, told apart by the route."""

from __future__ import annotations

from onggi.engine import filters
from onggi.engine.secrets import create as create_
from onggi.engine.secrets import inspect as inspect_
from onggi.engine.secrets import list_ as list__
from onggi.engine.secrets import remove as remove_
from onggi.engine.secrets import update as update_
from onggi.engine.secrets.record import CONFIG, SECRET, Kind
from onggi.errors import InvalidParameter
from onggi.server.messages import Request, Response
from onggi.wire.secrets import SecretSpec


def _kind(request: Request) -> Kind:
    return SECRET if request.route.startswith("/secrets") else CONFIG


async def list_(request: Request) -> Response:
    wanted = filters.parse(request.text("filters"))
    return request.reply(await list__.list_(request.engine, _kind(request), wanted))


async def create(request: Request) -> Response:
    asked = await request.json(SecretSpec)
    return request.reply(await create_.create(request.engine, _kind(request), asked), 201)


async def inspect(request: Request) -> Response:
    return request.reply(await inspect_.inspect(request.engine, _kind(request), request.params["id"]))


async def update(request: Request) -> Response:
    """The version is looked at before the body, as dockerd does."""
    kind = _kind(request)
    text = request.text("version")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidParameter(f"invalid {kind.word} version")
    asked = await request.json(SecretSpec)
    await update_.update(request.engine, kind, request.params["id"], asked, version=int(text))
    return Response(200)


async def remove(request: Request) -> Response:
    await remove_.remove(request.engine, _kind(request), request.params["id"])
    return Response(204)

"""Handlers of networks."""

from __future__ import annotations

from collections.abc import Callable

from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.networks import connect as connect_
from onggi.engine.networks import create as create_
from onggi.engine.networks import disconnect as disconnect_
from onggi.engine.networks import inspect as inspect_
from onggi.engine.networks import list_ as list__
from onggi.engine.networks import prune as prune_
from onggi.engine.networks import remove as remove_
from onggi.errors import InvalidParameter
from onggi.server.messages import Request, Response
from onggi.wire.networks import (
    NetworkConnectRequest,
    NetworkCreateRequest,
    NetworkDisconnectRequest,
    NetworkInspect,
)

FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
PREDEFINED = frozenset({"bridge", "host", "none"})


async def list_(request: Request) -> Response:
    wanted = filters_.parse(request.text("filters"))
    filters_.check(wanted, FILTERS)
    for kind in wanted.get("type", ()):
        if kind not in ("custom", "builtin"):
            raise InvalidParameter(f"invalid filter: 'type'='{kind}'")
    names, ids = (filters_.Names(key, wanted.get(key, ())) for key in ("name", "id"))
    listed = [
        network
        for network in await list__.list_(request.engine)
        if _passes(network, wanted)
        and (not wanted.get("name") or names.find(network.name))
        and (not wanted.get("id") or ids.find(network.id))
    ]
    return request.reply(listed)


def _passes(network: NetworkInspect, wanted: Filters) -> bool:
    kind = "builtin" if network.name in PREDEFINED else "custom"
    return (
        _any(wanted, "driver", lambda value: value == network.driver)
        and _any(wanted, "scope", lambda value: value == network.scope)
        and _any(wanted, "type", lambda value: value == kind)
        and filters_.labels_match(network.labels, wanted.get("label", ()))
        and filters_.truth(wanted, "dangling") in (None, kind == "custom" and not network.containers)
    )


def _any(wanted: Filters, name: str, holds: Callable[[str], bool]) -> bool:
    values = wanted.get(name, ())
    return not values or any(holds(value) for value in values)


async def inspect(request: Request) -> Response:
    request.truth("verbose")  # what it adds is a swarm's
    shown = await inspect_.inspect(request.engine, request.params["id"], scope=request.text("scope"))
    return request.reply(shown)


async def create(request: Request) -> Response:
    asked = await request.json(NetworkCreateRequest)
    return request.reply(await create_.create(request.engine, asked), 201)


async def remove(request: Request) -> Response:
    await remove_.remove(request.engine, request.params["id"])
    return Response(204)


async def connect(request: Request) -> Response:
    asked = await request.json(NetworkConnectRequest)
    await connect_.connect(request.engine, request.params["id"], asked)
    return Response(200)


async def disconnect(request: Request) -> Response:
    asked = await request.json(NetworkDisconnectRequest)
    await disconnect_.disconnect(request.engine, request.params["id"], asked)
    return Response(200)


async def prune(request: Request) -> Response:
    wanted = filters_.parse(request.text("filters"))
    report = await prune_.prune(request.engine, wanted, dry_run=request.flag("dry-run"))
    return request.reply(report)

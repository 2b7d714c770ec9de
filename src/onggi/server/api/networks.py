"""Handlers of networks."""

from __future__ import annotations

from collections.abc import Callable

from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.networks import inspect as inspect_
from onggi.engine.networks import list_ as list__
from onggi.server.messages import Request, Response
from onggi.wire.base import encode
from onggi.wire.networks import NetworkInspect

FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
PREDEFINED = frozenset({"bridge", "host", "none"})


async def list_(request: Request) -> Response:
    wanted = filters_.parse(request.text("filters"))
    filters_.check(wanted, FILTERS)
    listed = [network for network in await list__.list_(request.engine) if _passes(network, wanted)]
    return Response(body=encode(listed))


def _passes(network: NetworkInspect, wanted: Filters) -> bool:
    kind = "builtin" if network.name in PREDEFINED else "custom"
    return (
        _any(wanted, "id", lambda value: network.id.startswith(value))
        and _any(wanted, "name", lambda value: value in network.name)
        and _any(wanted, "driver", lambda value: value == network.driver)
        and _any(wanted, "scope", lambda value: value == network.scope)
        and _any(wanted, "type", lambda value: value == kind)
        and filters_.labels_match(network.labels, wanted.get("label", ()))
        and (filters_.truth(wanted, "dangling") is not True or (kind == "custom" and not network.containers))
    )


def _any(wanted: Filters, name: str, holds: Callable[[str], bool]) -> bool:
    values = wanted.get(name, ())
    return not values or any(holds(value) for value in values)


async def inspect(request: Request) -> Response:
    return Response(body=encode(await inspect_.inspect(request.engine, request.params["id"])))

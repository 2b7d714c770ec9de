"""Handlers of what is asked of registries: login, push, what lies there."""

from __future__ import annotations

import msgspec

from onggi.engine.images import distribution as distribution_
from onggi.engine.images import push as push_
from onggi.engine.system import auth as auth_
from onggi.errors import InvalidParameter
from onggi.server.messages import Request, Response, Stream
from onggi.wire.base import encode


async def auth(request: Request) -> Response:
    """`Status` and, from token servers that give one, `IdentityToken`."""
    from onggi.registry.credentials import AuthConfig

    try:
        given = msgspec.json.decode(await request.document() or b"{}", type=AuthConfig)
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"invalid auth configuration: {type(error).__name__}") from None
    token = await auth_.auth(request.engine, given.credentials())
    answer = {"Status": "Login Succeeded", "IdentityToken": token}
    return Response(body=msgspec.json.encode(answer))


async def push(request: Request) -> Stream:
    header = request.headers.get("x-registry-auth", "")
    return Stream(await push_.push(request.engine, request.params["name"], request.text("tag"), auth=header))


async def distribution(request: Request) -> Response:
    header = request.headers.get("x-registry-auth", "")
    found = await distribution_.distribution(request.engine, request.params["name"], auth=header)
    return Response(body=encode(found))

"""Handlers of what is asked of registries: login, search, push, what lies there."""

from __future__ import annotations

import msgspec

from onggi.engine import filters
from onggi.engine.images import distribution as distribution_
from onggi.engine.images import manifest_push as manifest_push_
from onggi.engine.images import manifest_read as manifest_read_
from onggi.engine.images import push as push_
from onggi.engine.images import referrers as referrers_
from onggi.engine.images import search as search_
from onggi.engine.system import auth as auth_
from onggi.errors import InvalidParameter
from onggi.server.messages import Request, Response, Stream
from onggi.wire.base import decode, encode
from onggi.wire.manifests import ManifestListPush


async def auth(request: Request) -> Response:
    """`Status` and, from token servers that give one, `IdentityToken`."""
    from onggi.registry.credentials import read

    given = read(await request.document() or b"{}")
    token = await auth_.auth(request.engine, given.credentials())
    answer = {"Status": "Login Succeeded", "IdentityToken": token}
    return Response(body=msgspec.json.encode(answer))


async def push(request: Request) -> Stream:
    header = request.headers.get("x-registry-auth", "")
    name, tag, platform = request.params["name"], request.text("tag"), request.text("platform")
    referrers = request.flag("referrers")  # ours alone
    return Stream(
        await push_.push(request.engine, name, tag, platform=platform, referrers=referrers, auth=header)
    )


async def referrers(request: Request) -> Response:
    """Onggi's own: what refers to an image in its registry."""
    header, kind = request.headers.get("x-registry-auth", ""), request.text("artifactType")
    found = await referrers_.referrers(
        request.engine, request.params["name"], artifact_type=kind, auth=header
    )
    return Response(body=encode(found))


async def distribution(request: Request) -> Response:
    header = request.headers.get("x-registry-auth", "")
    found = await distribution_.distribution(request.engine, request.params["name"], auth=header)
    return Response(body=encode(found))


async def manifest(request: Request) -> Response:
    """Onggi's own: a registry's manifest or list, for `onggi manifest`, which speaks to no registry."""
    found = await manifest_read_.manifest_read(
        request.engine,
        request.params["name"],
        insecure=request.flag("insecure"),
        auth=request.headers.get("x-registry-auth", ""),
    )
    return Response(body=encode(found))


async def push_list(request: Request) -> Response:
    """Onggi's own: a manifest list that was made on the client's side."""
    pushed = await manifest_push_.manifest_push(
        request.engine,
        request.params["name"],
        decode(ManifestListPush, await request.document()),
        insecure=request.flag("insecure"),
        auth=request.headers.get("x-registry-auth", ""),
    )
    return Response(body=encode(pushed))


async def search(request: Request) -> Response:
    """`limit` as dockerd reads it: neither a number nor below zero is refused, zero is the default."""
    text = request.text("limit")
    try:
        limit = int(text or "0")
    except ValueError:
        raise InvalidParameter(
            f'invalid limit specified: strconv.Atoi: parsing "{text}": invalid syntax'
        ) from None
    if limit < 0:
        raise InvalidParameter(f"invalid limit specified: {limit}")
    found = await search_.search(
        request.engine,
        request.text("term"),
        wanted=filters.parse(request.text("filters")),
        limit=limit,
        auth=request.headers.get("x-registry-auth", ""),
    )
    return Response(body=encode(found))

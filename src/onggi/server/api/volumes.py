"""Handlers of volumes."""

from __future__ import annotations

from onggi.engine import filters
from onggi.engine.volumes import clone as clone_
from onggi.engine.volumes import create as create_
from onggi.engine.volumes import export as export_
from onggi.engine.volumes import import_ as importing
from onggi.engine.volumes import inspect as inspect_
from onggi.engine.volumes import list_ as list__
from onggi.engine.volumes import prune as prune_
from onggi.engine.volumes import remove as remove_
from onggi.engine.volumes import rename as rename_
from onggi.server.api import swarm
from onggi.server.messages import TAR, Request, Response, Stream
from onggi.wire.volumes import VolumeCreateRequest


async def list_(request: Request) -> Response:
    listed = await list__.list_(request.engine, filters.parse(request.text("filters")))
    return request.reply(listed)


async def create(request: Request) -> Response:
    """A volume of a cluster is the business of a swarm's managers, as in dockerd."""
    asked = await request.optional_json(VolumeCreateRequest)
    if asked.cluster_volume_spec is not None:
        await swarm.not_a_manager(request)
    return request.reply(await create_.create(request.engine, asked), 201)


async def inspect(request: Request) -> Response:
    return request.reply(await inspect_.inspect(request.engine, request.params["name"]))


async def remove(request: Request) -> Response:
    await remove_.remove(request.engine, request.params["name"], force=request.flag("force"))
    return Response(204)


async def prune(request: Request) -> Response:
    """Before 1.42 every unused volume went, not the anonymous ones only."""
    wanted = filters.parse(request.text("filters"))
    everything = request.version < (1, 42)
    dry_run = request.flag("dry-run")
    report = await prune_.prune(request.engine, wanted, everything=everything, dry_run=dry_run)
    return request.reply(report)


async def export(request: Request) -> Stream:
    return Stream(await export_.export(request.engine, request.params["name"]), TAR)


async def import_(request: Request) -> Response:
    made = await importing.import_(request.engine, request.text("name"), request.stream())
    return request.reply(made, 201)


async def clone(request: Request) -> Response:
    made = await clone_.clone(request.engine, request.params["name"], request.text("name"))
    return request.reply(made, 201)


async def rename(request: Request) -> Response:
    await rename_.rename(request.engine, request.params["name"], request.text("name"))
    return Response(204)

"""Handlers of containers' files: cp in both directions, export, diff."""

from __future__ import annotations

from onggi.engine.containers import archive_get as archive_get_
from onggi.engine.containers import archive_put as archive_put_
from onggi.engine.containers import archive_stat as archive_stat_
from onggi.engine.containers import diff as diff_
from onggi.engine.containers import export as export_
from onggi.errors import InvalidParameter
from onggi.images.archive import PathStat
from onggi.server.messages import TAR, Request, Response, Stream


async def changes(request: Request) -> Response:
    """The list is null where nothing has changed, as dockerd's."""
    found = await diff_.diff(request.engine, request.params["id"])
    return request.reply(found or None)


async def export(request: Request) -> Stream:
    """`time` is Onggi's own: every file's time, in seconds since 1970 (SOURCE_DATE_EPOCH)."""
    at_ns = request.number("time") * 1_000_000_000 if request.text("time") else None
    pieces = await export_.export(request.engine, request.params["id"], at_ns=at_ns)
    return Stream(pieces, "application/octet-stream")


async def get_archive(request: Request) -> Stream:
    stat, chunks = await archive_get_.archive_get(request.engine, request.params["id"], _path(request))
    return Stream(chunks, TAR, headers=_stat_header(stat))


async def stat_archive(request: Request) -> Response:
    stat = await archive_stat_.archive_stat(request.engine, request.params["id"], _path(request))
    return Response(headers=_stat_header(stat))


async def put_archive(request: Request) -> Response:
    await archive_put_.archive_put(
        request.engine,
        request.params["id"],
        _path(request),
        request.stream(),
        no_overwrite_dir_non_dir=request.flag("noOverwriteDirNonDir"),
        copy_uid_gid=request.flag("copyUIDGID"),
    )
    return Response()


def _path(request: Request) -> str:
    path = request.text("path")
    if not path:
        raise InvalidParameter("bad parameter: path cannot be empty")
    return path


def _stat_header(stat: PathStat) -> tuple[tuple[str, str], ...]:
    return (("X-Docker-Container-Path-Stat", stat.header()),)

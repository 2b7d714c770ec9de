"""Handlers of images."""

from __future__ import annotations

from onggi.engine import filters
from onggi.engine.containers import commit as commit_
from onggi.engine.images import attestations as attestations_
from onggi.engine.images import bootstrap as bootstrap_
from onggi.engine.images import diff as diff_
from onggi.engine.images import history as history_
from onggi.engine.images import import_ as import__
from onggi.engine.images import inspect as inspect_
from onggi.engine.images import list_ as list__
from onggi.engine.images import load as load_
from onggi.engine.images import mount as mount_
from onggi.engine.images import mounts as mounts_
from onggi.engine.images import prune as prune_
from onggi.engine.images import pull as pull_
from onggi.engine.images import remove as remove_
from onggi.engine.images import save as save_
from onggi.engine.images import tag as tag_
from onggi.engine.images import unmount as unmount_
from onggi.errors import InvalidParameter
from onggi.server.messages import TAR, Request, Response, Stream
from onggi.wire.base import decode
from onggi.wire.containers import ContainerConfig
from onggi.wire.images import CommitResponse


async def list_(request: Request) -> Response:
    wanted = filters.parse(request.text("filters"))
    if request.text("filter") and request.version <= (1, 40):  # one name, of clients before 1.25
        wanted["reference"] = [request.text("filter")]
    listed = await list__.list_(
        request.engine,
        wanted,
        everything=request.flag("all"),
        shared_size=request.version >= (1, 42) and request.flag("shared-size"),
        manifests=request.version >= (1, 47) and request.flag("manifests"),
    )
    return request.reply(listed)


async def inspect(request: Request) -> Response:
    shown = await inspect_.inspect(
        request.engine,
        request.params["name"],
        platform=request.text("platform") if request.version >= (1, 49) else "",
        manifests=request.version >= (1, 48) and request.flag("manifests"),
    )
    return request.reply(shown)


async def history(request: Request) -> Response:
    name, platform = request.params["name"], request.text("platform")
    return request.reply(await history_.history(request.engine, name, platform=platform))


async def attestations(request: Request) -> Response:
    told = await attestations_.attestations(
        request.engine,
        request.params["name"],
        platform=request.texts("platform"),
        types=request.texts("type"),
        statement=request.flag("statement"),
    )
    return request.reply(told)


async def diff(request: Request) -> Response:
    """Onggi's own: which files differ between two images."""
    other = request.text("other")
    if not other:
        raise InvalidParameter("other is missing: which image is this one to be compared with?")
    return request.reply(await diff_.diff(request.engine, request.params["name"], other))


async def mounts(request: Request) -> Response:
    """Onggi's own: images that are mounted for the host's programs."""
    return request.reply(await mounts_.mounts(request.engine))


async def mount(request: Request) -> Response:
    """Onggi's own."""
    name, platform = request.params["name"], request.text("platform")
    return request.reply(await mount_.mount(request.engine, name, platform=platform))


async def unmount(request: Request) -> Response:
    """Onggi's own."""
    name, platform = request.params["name"], request.text("platform")
    await unmount_.unmount(request.engine, name, platform=platform, force=request.flag("force"))
    return Response(204)


async def tag(request: Request) -> Response:
    await tag_.tag(request.engine, request.params["name"], request.text("repo"), request.text("tag"))
    return Response(201)


async def remove(request: Request) -> Response:
    lines = await remove_.remove(
        request.engine,
        request.params["name"],
        force=request.flag("force"),
        noprune=request.flag("noprune"),
        platform=request.texts("platforms") if request.version >= (1, 50) else [],
    )
    return request.reply(lines)


async def prune(request: Request) -> Response:
    wanted = filters.parse(request.text("filters"))
    report = await prune_.prune(request.engine, wanted, dry_run=request.flag("dry-run"))
    return request.reply(report)


async def create(request: Request) -> Stream:
    """Pull where `fromImage` is given; import where `fromSrc` is "-" or an address."""
    if request.text("fromImage"):
        platform = request.text("platform")
        return Stream(
            await pull_.pull(
                request.engine,
                request.text("fromImage"),
                request.text("tag"),
                platform=platform,
                referrers=request.flag("referrers"),  # ours alone
                auth=request.headers.get("x-registry-auth", ""),
            )
        )
    source = request.text("fromSrc")
    if not source:
        raise InvalidParameter("either fromImage or fromSrc is needed")
    return Stream(
        await import__.import_(
            request.engine,
            request.stream(),
            source=source,
            repository=request.text("repo"),
            tag=request.text("tag"),
            message=request.text("message"),
            changes=request.texts("changes"),
            platform=request.text("platform"),
        )
    )


async def load(request: Request) -> Stream:
    lines = await load_.load(
        request.engine, request.stream(), quiet=request.flag("quiet"), platform=request.texts("platform")
    )
    return Stream(lines, reads=True)


async def save(request: Request) -> Stream:
    return await _save(request, [request.params["name"]])


async def save_several(request: Request) -> Stream:
    names = request.texts("names")
    if not names:
        raise InvalidParameter("no images to save: names is missing")
    return await _save(request, names)


async def _save(request: Request, names: list[str]) -> Stream:
    return Stream(await save_.save(request.engine, names, platform=request.texts("platform")), TAR)


async def commit(request: Request) -> Response:
    """An empty body, or `null`, means the container's own configuration."""
    if not request.text("container"):
        raise InvalidParameter("container is missing: which container is to be committed?")
    given = await request.document()
    config = decode(ContainerConfig, given) if given.strip() not in (b"", b"null") else None
    image_id = await commit_.commit(
        request.engine,
        request.text("container"),
        repository=request.text("repo"),
        tag=request.text("tag"),
        author=request.text("author"),
        message=request.text("comment"),
        changes=request.texts("changes"),
        pause=request.flag("pause", default=True),
        config=config,
    )
    return request.reply(CommitResponse(id=image_id), 201)


async def bootstrap(request: Request) -> Stream:
    """Onggi's own: no other engine has this operation."""
    distribution = request.text("distribution")
    if not distribution:
        raise InvalidParameter("distribution is missing: debian:bookworm, ubuntu:noble, ...")
    return Stream(await bootstrap_.bootstrap(request.engine, distribution))

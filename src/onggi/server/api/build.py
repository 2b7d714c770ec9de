"""Handlers of builds: the classic door. BuildKit's protocol is another one."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from onggi.builder import entitlements, failed, questions
from onggi.builder.builder import builder_of
from onggi.builder.cache.prune import Keep
from onggi.builder.classic import agents, caching, directories, listing
from onggi.builder.classic import build as build_
from onggi.builder.classic import prune as prune_
from onggi.builder.classic.request import BuildRequest
from onggi.builder.client import Credentials
from onggi.builder.entitlements import Entitlements
from onggi.engine import filters
from onggi.errors import InvalidParameter, NotImplemented_
from onggi.images.tag import target
from onggi.server.messages import Request, Response, Stream
from onggi.spec import platform as platforms
from onggi.wire.containers import HostConfig, HostConfigUlimits


async def build(request: Request) -> Stream:
    """`docker build`, classic. Errors of the request are statuses, later ones the stream's last line."""
    return Stream(await build_.build(request.engine, _asked(request), request.stream()))


async def cancel(request: Request) -> Response:
    """End a build that was begun with `buildid`; one that is not known has ended already."""
    if not request.text("id"):
        raise InvalidParameter("build ID not provided")
    builder = await builder_of(request.engine)
    builder.cancel(request.text("id"))
    return Response()


async def secrets(request: Request) -> Response:
    """Onggi's own: secrets for the build that will be begun with `buildid`, as {id: base64}. They stay in
    memory, and go with that build.
    """
    if not request.text("buildid"):
        raise InvalidParameter("buildid is missing")
    given = await request.document()
    builder = await builder_of(request.engine)
    builder.offer(request.text("buildid"), _parsed(given, dict[str, bytes], "error reading secrets"))
    return Response(204)


async def receive_listing(request: Request) -> Response:
    """Onggi's own: a listing of the context of the build that will be begun with `buildid`, and what of it is
    wanted.
    """
    builder = await builder_of(request.engine)
    wanted = await listing.offer(builder, request.text("buildid"), request.text("name"), request.stream())
    return request.reply({"wanted": wanted})


async def agent(request: Request) -> None:
    """Onggi's own: a connection that will lead to the client's ssh agent `id`, for the build of `buildid`;
    `again`: not for one that has ended.
    """
    build_id, id = request.text("buildid"), request.text("id")
    if not build_id or not id:
        raise InvalidParameter("buildid and id are needed")
    found = agents.of(await builder_of(request.engine), build_id, again=request.flag("again"))
    found.room(id)
    taken = await request.hijack(tty=True)()
    await found.offer(id, taken.sock)


async def receive_cache(request: Request) -> Response:
    """Onggi's own: a directory with a cache, for the build that will be begun with `buildid`."""
    builder = await builder_of(request.engine)
    await directories.receive(builder, request.text("buildid"), request.text("src"), request.stream())
    return Response(204)


async def send_cache(request: Request) -> Stream:
    """Onggi's own: a directory with the cache that the build of `buildid` has made."""
    builder = await builder_of(request.engine)
    pieces = await directories.send(builder, request.text("buildid"), request.text("dest"))
    return Stream(pieces, "application/x-tar")


async def prune(request: Request) -> Response:
    """What is kept: `max-used-space`, less where the disk has less than `min-free-space` left, never less
    than `reserved-space`, which clients before 1.48 call `keep-storage`.

    GET is Onggi's own: what POST would remove.
    """
    keep = request.number("reserved-space") or request.number("keep-storage")
    report = await prune_.prune(
        request.engine,
        filters.parse(request.text("filters")),
        everything=request.flag("all"),
        keep=Keep(
            used_bytes=request.number("max-used-space"),
            reserved_bytes=keep,
            free_bytes=request.number("min-free-space"),
        ),
        dry_run=request.method == "GET",
    )
    return request.reply(report)


async def rerun(request: Request) -> Stream:
    """Onggi's own: a step that failed once more. The answer is that of a build with `progress=status`."""
    return Stream(await failed.rerun(request.engine, request.params["id"], request.text("buildid")))


async def why(request: Request) -> Response:
    """Onggi's own."""
    if not request.text("step"):
        raise InvalidParameter("step is missing")
    return request.reply(await prune_.why(request.engine, request.text("step")))


def _asked(request: Request) -> BuildRequest:
    """Raises InvalidParameter, NotImplemented_."""
    if request.text("version") not in ("", "1", "2"):
        raise InvalidParameter(f'invalid version "{request.text("version")}"')
    if request.text("version") == "2":
        raise NotImplemented_(
            "this engine speaks BuildKit's protocol with docker buildx alone: use docker buildx build, "
            "or set DOCKER_BUILDKIT=0"
        )
    if request.flag("squash"):
        raise InvalidParameter("squash is only supported with experimental mode")
    if request.text("isolation") not in ("", "default"):
        raise InvalidParameter(f"Unsupported isolation: {request.text('isolation')!r}")
    platform = request.text("platform")
    arguments = _json(request, "buildargs", dict[str, str | None], "error reading build args") or {}
    exports = _json(request, "cacheto", list[str], "error reading cache-to") or []
    if (arguments.get("BUILDKIT_INLINE_CACHE") or "").lower() in ("1", "t", "true"):
        exports.append("type=inline")
    names = dict.fromkeys(str(target(name)) for name in request.texts("t") if name)
    return BuildRequest(
        names=tuple(names),
        dockerfile=request.text("dockerfile"),
        remote=request.text("remote"),
        listed=request.flag("listed"),
        target=request.text("target"),
        build_id=request.text("buildid"),
        quiet=request.flag("q"),
        call=_call(request.text("call")),
        status=request.text("progress") == "status",
        shell=request.flag("shellonfailure"),
        no_cache=request.flag("nocache"),
        no_cache_filter=tuple(
            name for text in request.texts("nocachefilter") for name in text.split(",") if name
        ),
        pull=request.flag("pull"),
        rewrite=request.flag("rewritetimestamp", default=True),
        remove=request.flag("rm", default=True),
        build_args=arguments,
        labels=_json(request, "labels", dict[str, str], "error reading labels") or {},
        platform=platforms.parse(platform) if platform else None,
        network=request.text("networkmode"),
        extra_hosts=tuple(_host(text) for text in _extra_hosts(request)),
        shm_bytes=request.number("shmsize"),
        limits=_limits(request),
        cache_from=caching.places(
            _json(request, "cachefrom", list[str], "error reading cache-from"), export=False
        ),
        cache_to=caching.places(exports, export=True),
        entitlements=_entitlements(request),
        credentials=_credentials(request.headers.get("x-registry-config", "")),
    )


def _entitlements(request: Request) -> Entitlements:
    """`allow` is Onggi's own. The host's network needs no leave here, as in dockerd's classic builder. Raises
    InvalidParameter, Forbidden.
    """
    allowed = _json(request, "allow", list[str], "error reading allow") or []
    found = entitlements.parse(allowed, request.engine.config.build_entitlements)
    return msgspec.structs.replace(found, network_host=True)


def _call(name: str) -> str:
    """Onggi's own: lint, outline or targets. Raises InvalidParameter."""
    if name and f"frontend.{name}" not in questions.NAMES:
        raise InvalidParameter(f"invalid call {name!r}: one of lint, outline, targets")
    return f"frontend.{name}" if name else ""


def _limits(request: Request) -> HostConfig:
    """What holds for every process of the build."""
    ulimits = _json(request, "ulimits", list[dict[str, Any]], "error reading ulimit settings") or []
    return HostConfig(
        memory=request.number("memory"),
        memory_swap=request.number("memswap"),
        cpu_shares=request.number("cpushares"),
        cpu_period=request.number("cpuperiod"),
        cpu_quota=request.number("cpuquota"),
        cpuset_cpus=request.text("cpusetcpus"),
        cpuset_mems=request.text("cpusetmems"),
        cgroup_parent=request.text("cgroupparent"),
        security_opt=request.texts("securityopt"),
        ulimits=[_ulimit(item) for item in ulimits],
    )


def _ulimit(item: dict[str, Any]) -> HostConfigUlimits:
    """Go matches keys without case."""
    try:
        found = {str(key).lower(): value for key, value in item.items()}
        return HostConfigUlimits(
            name=str(found["name"]), soft=int(found.get("soft", 0)), hard=int(found.get("hard", 0))
        )
    except (KeyError, TypeError, ValueError):
        raise InvalidParameter(f"error reading ulimit settings: {item!r}") from None


def _extra_hosts(request: Request) -> list[str]:
    """Clients send the parameter once for each, or one JSON list."""
    found: list[str] = []
    for text in request.texts("extrahosts"):
        if text.startswith("["):
            found += _parsed(text, list[str], "error reading extra hosts")
        elif text:
            found += text.split(",")
    return found


def _host(text: str) -> tuple[str, str]:
    name, _, address = text.partition(":")
    if not name or not address:
        raise InvalidParameter(f'bad format for add-host: "{text}"')
    return name, address


def _json(request: Request, name: str, kind: Any, what: str) -> Any:
    text = request.text(name)
    return _parsed(text, kind, what) if text else None


def _parsed(text: str | bytes, kind: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"{what}: {error}") from None


def _credentials(header: str) -> dict[str, Credentials]:
    """X-Registry-Config: registry -> credentials, as base64 of JSON; dockerd takes what it cannot read as
    none.
    """
    if not header:
        return {}
    try:
        data = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
        found = msgspec.json.decode(data, type=dict[str, dict[str, Any]])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return {}
    return {
        registry: Credentials(
            username=str(item.get("username") or ""),
            password=str(item.get("password") or ""),
            identity_token=str(item.get("identitytoken") or ""),
        )
        for registry, item in found.items()
    }

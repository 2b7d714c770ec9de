"""Handlers of builds: the classic door. BuildKit's protocol is another one."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from onggi.builder.builder import builder_of
from onggi.builder.classic import build as build_
from onggi.builder.classic import prune as prune_
from onggi.builder.classic.request import BuildRequest
from onggi.builder.client import Credentials
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
    return Response(204)


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


async def prune(request: Request) -> Response:
    """What is kept: `reserved-space`, which clients before 1.48 call `keep-storage`."""
    keep = request.number("reserved-space") or request.number("keep-storage")
    report = await prune_.prune(
        request.engine,
        filters.parse(request.text("filters")),
        everything=request.flag("all"),
        keep_bytes=max(keep, request.number("max-used-space")),
    )
    return request.reply(report)


async def why(request: Request) -> Response:
    """Onggi's own."""
    if not request.text("step"):
        raise InvalidParameter("step is missing")
    return request.reply(await prune_.why(request.engine, request.text("step")))


def _asked(request: Request) -> BuildRequest:
    """Raises InvalidParameter, NotImplemented_."""
    if request.text("version") == "2":
        raise NotImplemented_("this engine does not speak BuildKit's protocol yet: set DOCKER_BUILDKIT=0")
    if request.flag("squash"):
        raise InvalidParameter("squash is only supported with experimental mode")
    if request.text("isolation") not in ("", "default"):
        raise InvalidParameter(f"Unsupported isolation: {request.text('isolation')!r}")
    platform = request.text("platform")
    names = dict.fromkeys(str(target(name)) for name in request.texts("t") if name)
    return BuildRequest(
        names=tuple(names),
        dockerfile=request.text("dockerfile"),
        remote=request.text("remote"),
        target=request.text("target"),
        build_id=request.text("buildid"),
        quiet=request.flag("q"),
        status=request.text("progress") == "status",
        no_cache=request.flag("nocache"),
        pull=request.flag("pull"),
        remove=request.flag("rm", default=True),
        build_args=_json(request, "buildargs", dict[str, str | None], "error reading build args") or {},
        labels=_json(request, "labels", dict[str, str], "error reading labels") or {},
        platform=platforms.parse(platform) if platform else None,
        network=request.text("networkmode"),
        extra_hosts=tuple(_host(text) for text in _extra_hosts(request)),
        shm_bytes=request.number("shmsize"),
        limits=_limits(request),
        credentials=_credentials(request.headers.get("x-registry-config", "")),
    )


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
            username=str(item.get("username", "")),
            password=str(item.get("password", "")),
            identity_token=str(item.get("identitytoken", "")),
        )
        for registry, item in found.items()
    }

"""The two services of POST /grpc: Control, which runs a build, and LLBBridge, in which the client's own half
of it calls the front end. The calls of one build are joined by its ref, which the second carries as metadata.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from onggi import __version__
from onggi.builder.builder import Builder
from onggi.builder.buildkit import usage
from onggi.builder.buildkit.build import Build, exporters_of
from onggi.builder.buildkit.messages import kind
from onggi.builder.buildkit.sessions import Sessions
from onggi.engine.system.identity import engine_id
from onggi.errors import InvalidParameter, NotFound, NotImplemented_, OnggiError
from onggi.spec import image as documents
from onggi.spec.platform import host

CONTROL = "/moby.buildkit.v1.Control/"
BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
WAIT_SECONDS = 10.0
ENDED_KEPT = 64  # builds that a late Status may still ask for
FRONTEND_CAPS = (
    "solve.base", "return", "returnmap", "proto.refarray", "gateway.solve.metadata", "gateway.solve.evaluate",
)  # fmt: skip
LLB_CAPS = (
    "source.image", "source.local", "exec.meta.base", "exec.meta.network", "exec.meta.ulimit",
    "exec.meta.cgroup.parent", "exec.mount.bind", "exec.mount.cache", "exec.mount.secret", "exec.mount.ssh",
    "file.base", "mergeop",
)  # fmt: skip
log = logging.getLogger(__name__)


class Door:
    """What all connections of one engine share: sessions and builds."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.sessions = Sessions()
        self._builds: OrderedDict[str, Build] = OrderedDict()
        self._refused: OrderedDict[str, str] = OrderedDict()  # why: nobody waits for these
        self._begun = asyncio.Condition()

    async def refuse(self, ref: str, why: str) -> None:
        """A build that will not begin."""
        self._refused[ref] = why
        if len(self._refused) > ENDED_KEPT:
            self._refused.popitem(last=False)
        async with self._begun:
            self._begun.notify_all()

    async def begin(self, build: Build, ref: str) -> None:
        """Raises InvalidParameter for a ref that is taken."""
        if not ref or ref in self._builds:
            raise InvalidParameter(f"build ref {ref!r}: one that is new is needed")
        self._builds[ref] = build
        while len(self._builds) > ENDED_KEPT:
            oldest = next((key for key, one in self._builds.items() if one.job.ended.is_set()), "")
            if not oldest:
                break
            del self._builds[oldest]
        async with self._begun:
            self._begun.notify_all()

    async def build(self, ref: str) -> Build:
        """A build that runs, or is about to begin. Raises NotFound."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._begun:
                await self._begun.wait_for(lambda: ref in self._builds or ref in self._refused)
                return self._builds[ref]
        except (TimeoutError, KeyError):
            raise NotFound(self._refused.get(ref, f"no such job {ref}")) from None


_doors: WeakKeyDictionary[Builder, Door] = WeakKeyDictionary()


def door_of(builder: Builder) -> Door:
    return _doors.setdefault(builder, Door(builder))


def _call(method: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """A handler whose errors become gRPC's, as server/errors.py makes them HTTP's."""

    @functools.wraps(method)
    async def handler(self: Any, stream: Any) -> None:
        try:
            await method(self, stream)
        except NotImplemented_ as error:
            raise GRPCError(Status.UNIMPLEMENTED, error.message) from None
        except OnggiError as error:
            raise GRPCError(Status.UNKNOWN, error.message) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise GRPCError(Status.UNKNOWN, f"{where}{error.strerror}") from None
        except Exception as error:
            if isinstance(error, GRPCError):
                raise
            log.error("%s failed: %s", method.__name__, error, exc_info=error)
            text = f"internal error: {type(error).__name__} (the engine's log has more)"
            raise GRPCError(Status.INTERNAL, text) from None

    return handler  # type: ignore[return-value]


class _Service:
    """Handlers by path, for grpclib: (method, cardinality, request, reply)."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def _mapping(
        self, prefix: str, rows: tuple[tuple[str, Cardinality, str, str], ...]
    ) -> dict[str, Handler]:
        return {
            prefix + name: Handler(getattr(self, name), how, kind(request), kind(reply))
            for name, how, request, reply in rows
        }


class Control(_Service):
    def __mapping__(self) -> dict[str, Handler]:
        one, many = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM
        return self._mapping(CONTROL, (
            ("Solve", one, "SolveRequest", "SolveResponse"),
            ("Status", many, "StatusRequest", "StatusResponse"),
            ("ListWorkers", one, "ListWorkersRequest", "ListWorkersResponse"),
            ("Info", one, "Empty", "InfoResponse"),
            ("DiskUsage", one, "DiskUsageRequest", "DiskUsageResponse"),
            ("Prune", many, "PruneRequest", "UsageRecord"),
            ("ListenBuildHistory", many, "Empty", "Empty"),
            ("UpdateBuildHistory", one, "Empty", "Empty"),
        ))  # fmt: skip

    @_call
    async def Solve(self, stream: Any) -> None:
        """The commit point is the image's: once it is published, a client that goes away changes nothing."""
        request = await stream.recv_message()
        try:
            exporters = exporters_of(request)
            session = await self.door.sessions.get(request.Session)
        except OnggiError as error:
            await self.door.refuse(request.Ref, error.message)
            raise
        build = Build(self.door.builder, session, request.Ref, tuple(request.Entitlements))
        try:
            await self.door.begin(build, request.Ref)
            if request.Frontend:
                result = await build.frontend(request.Frontend, request.FrontendAttrs)
            else:
                result = await build.returned
            answer = await build.export(result, exporters)
        finally:
            await asyncio.shield(build.close())
        await stream.send_message(kind("SolveResponse")(ExporterResponse=answer))

    @_call
    async def Status(self, stream: Any) -> None:
        request = await stream.recv_message()
        build = await self.door.build(request.Ref)
        async for message in build.teller.messages():
            await stream.send_message(message)

    @_call
    async def ListWorkers(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(kind("ListWorkersResponse")(record=[_worker(self.door.builder)]))

    @_call
    async def Info(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(kind("InfoResponse")(buildkitVersion=_version()))

    @_call
    async def DiskUsage(self, stream: Any) -> None:
        request = await stream.recv_message()
        records = await usage.usage(self.door.builder.engine, request.filter)
        await stream.send_message(kind("DiskUsageResponse")(record=records))

    @_call
    async def Prune(self, stream: Any) -> None:
        """Commit point: each record by itself."""
        request = await stream.recv_message()
        for record in await usage.prune(self.door.builder.engine, request):
            await stream.send_message(record)

    @_call
    async def ListenBuildHistory(self, stream: Any) -> None:
        await stream.recv_message()
        raise NotImplemented_("this engine keeps no history of builds: onggi builder why STEP tells of steps")

    UpdateBuildHistory = ListenBuildHistory


class Bridge(_Service):
    def __mapping__(self) -> dict[str, Handler]:
        one = Cardinality.UNARY_UNARY
        return self._mapping(BRIDGE, (
            ("Ping", one, "Empty", "PongResponse"),
            ("Solve", one, "GatewaySolveRequest", "GatewaySolveResponse"),
            ("Return", one, "ReturnRequest", "Empty"),
        ))  # fmt: skip

    async def _build(self, stream: Any) -> Build:
        return await self.door.build(str(stream.metadata.get("buildkit-controlapi-buildid", "")))

    @_call
    async def Ping(self, stream: Any) -> None:
        await stream.recv_message()
        cap = kind("APICap")
        await stream.send_message(kind("PongResponse")(
            FrontendAPICaps=[cap(ID=name, Enabled=True) for name in FRONTEND_CAPS],
            LLBCaps=[cap(ID=name, Enabled=True) for name in LLB_CAPS],
            Workers=[_worker(self.door.builder)],
        ))  # fmt: skip

    @_call
    async def Solve(self, stream: Any) -> None:
        request = await stream.recv_message()
        build = await self._build(stream)
        if getattr(request.Definition, "def") or request.FrontendInputs:
            raise NotImplemented_("this engine solves Dockerfiles only: it takes no LLB yet")
        if request.CacheImports:
            raise NotImplemented_("this engine imports no build cache yet")
        if any(policy.rules for policy in request.SourcePolicies):
            raise NotImplemented_("source policies are not applied by this engine yet")
        id = await build.frontend(request.Frontend, request.FrontendOpt)
        result = kind("Result")(ref=kind("Ref")(id=id))
        result.metadata["containerimage.config"] = documents.encode(build.outcomes[id].image)
        await stream.send_message(kind("GatewaySolveResponse")(result=result))

    @_call
    async def Return(self, stream: Any) -> None:
        """The client's half is done: its result, or what failed it."""
        request = await stream.recv_message()
        build = await self._build(stream)
        if not build.returned.done():
            if request.error.code:
                build.returned.set_exception(GRPCError(Status(request.error.code), request.error.message))
                build.returned.exception()  # Control.Solve raises it, if it is still there
            else:
                refs = [ref.id for ref in request.result.refs.refs.values()] or [request.result.ref.id]
                build.returned.set_result(refs[0])
        await stream.send_message(kind("Empty")())


def _version() -> Any:
    return kind("BuildkitVersion")(package="onggi", version=f"v{__version__}")


def _worker(builder: Builder) -> Any:
    """This engine as the one worker; no label names a snapshotter, so clients take the image store."""
    own = host()
    platform = kind("Platform")(Architecture=own.architecture, OS=own.os, Variant=own.variant or "")
    labels = {"org.mobyproject.buildkit.worker.executor": "containers"}
    return kind("WorkerRecord")(
        ID=engine_id(builder.engine.database),
        Labels=labels, platforms=[platform], BuildkitVersion=_version(),
    )  # fmt: skip

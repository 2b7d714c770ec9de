"""Control of POST /grpc: builds from their beginning to their end, the cache, the worker.

The calls of one build are joined by its ref, which LLBBridge (bridge.py) carries as metadata.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from grpclib.const import Cardinality, Handler

from onggi.builder import entitlements
from onggi.builder.buildkit import caching, tunnel, usage
from onggi.builder.buildkit.build import Build, exports_of
from onggi.builder.buildkit.calls import call, mapping, status_of, told
from onggi.builder.buildkit.door import Door, version
from onggi.builder.buildkit.exporters import Export
from onggi.builder.buildkit.history.history import Running
from onggi.builder.buildkit.messages import kind
from onggi.builder.buildkit.policies import Policies
from onggi.engine.offload import to_the_end
from onggi.errors import OnggiError
from onggi.spec import timestamp

CONTROL = "/moby.buildkit.v1.Control/"
CLOCK = "buildkit-current-timestamp"  # by which clients reckon how long a build has been running


class Control:
    """For one connection."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def __mapping__(self) -> dict[str, Handler]:
        one, many = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM
        return mapping(self, CONTROL, (
            ("Solve", one, "SolveRequest", "SolveResponse"),
            ("Status", many, "StatusRequest", "StatusResponse"),
            ("Session", Cardinality.STREAM_STREAM, "Bytes", "Bytes"),
            ("ListWorkers", one, "ListWorkersRequest", "ListWorkersResponse"),
            ("Info", one, "Empty", "InfoResponse"),
            ("DiskUsage", one, "DiskUsageRequest", "DiskUsageResponse"),
            ("Prune", many, "PruneRequest", "UsageRecord"),
            ("ListenBuildHistory", many, "BuildHistoryRequest", "BuildHistoryEvent"),
            ("UpdateBuildHistory", one, "UpdateBuildHistoryRequest", "Empty"),
        ))  # fmt: skip

    @call
    async def Solve(self, stream: Any) -> None:
        """The commit point is the image's: once it is published, a client that goes away changes nothing."""
        request = await stream.recv_message()
        try:
            wanted = exports_of(request)
            policies = Policies([request.SourcePolicy])
            config = self.door.builder.engine.config
            allowed = entitlements.parse(request.Entitlements, config.build_entitlements)
            session = await self.door.sessions.get(request.Session)
        except OnggiError as error:
            await self.door.refuse(request.Ref, error.message)
            raise
        build = Build(
            self.door.builder, self.door.results, session, request.Ref, allowed,
            caching.entries(request.Cache.Imports), caching.entries(request.Cache.Exports), policies,
        )  # fmt: skip
        running: Running | None = None
        failure: BaseException | None = None
        try:
            await self.door.begin(build, request.Ref)
            if not request.Internal:
                running = self.door.history.begin(request)
                build.teller.record = running.recording
            answer = await self._solved(build, request, wanted, running)
        except BaseException as error:
            failure = error
            raise
        finally:
            await to_the_end(self._ended(build, running, failure))
        await stream.send_message(kind("SolveResponse")(ExporterResponse=answer))

    async def _solved(
        self, build: Build, request: Any, wanted: list[Export], running: Running | None
    ) -> dict[str, str]:
        """The answer's map."""
        told: dict[str, str] = {}
        if request.Frontend:
            result, told = await build.frontend(
                request.Frontend, request.FrontendAttrs, request.FrontendInputs
            )
        elif getattr(request.Definition, "def"):
            result = await build.definition(request.Definition)
        else:
            result = await build.returned
        answer = await build.export(result, wanted) if result else told
        if running is not None:
            running.draft.answer(answer)
            running.draft.results(build.exported)
            if result in build.outcomes:
                await build.work(running.draft.attest, build.job, build.outcomes[result], build.said)
        return answer

    async def _ended(self, build: Build, running: Running | None, failure: BaseException | None) -> None:
        """Everything of it has ended; its record is written."""
        await build.close()
        if running is not None:
            if failure is not None:
                running.draft.fail(status_of(told(failure, "Solve")))
            await self.door.history.end(running)
            build.teller.record = None

    @call
    async def Status(self, stream: Any) -> None:
        request = await stream.recv_message()
        async for message in self.door.messages(request.Ref):
            await stream.send_message(message)

    @call
    async def Session(self, stream: Any) -> None:
        await tunnel.hold(self.door.sessions, stream, self.door.builder.work)

    @call
    async def ListWorkers(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(kind("ListWorkersResponse")(record=[self.door.worker()]))

    @call
    async def Info(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(kind("InfoResponse")(buildkitVersion=version()))

    @call
    async def DiskUsage(self, stream: Any) -> None:
        request = await stream.recv_message()
        records = await usage.usage(self.door.builder.engine, request.filter)
        await stream.send_message(kind("DiskUsageResponse")(record=records))

    @call
    async def Prune(self, stream: Any) -> None:
        """Commit point: each record by itself."""
        request = await stream.recv_message()
        for record in await usage.prune(self.door.builder.engine, request):
            await stream.send_message(record)

    @call
    async def ListenBuildHistory(self, stream: Any) -> None:
        request = await stream.recv_message()
        await stream.send_initial_metadata(metadata={CLOCK: timestamp.text(time.time_ns())})
        async with contextlib.aclosing(self.door.history.events(request)) as events:
            async for event in events:
                await stream.send_message(event)

    @call
    async def UpdateBuildHistory(self, stream: Any) -> None:
        """Commit point: the row."""
        request = await stream.recv_message()
        self.door.history.update(request)
        await stream.send_message(kind("Empty")())

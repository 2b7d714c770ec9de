"""One build of the classic door, from the request's body to the last line of its answer.

    receive the context -> read the Dockerfile -> [the answer begins] -> plan -> solve -> image -> names

What is wrong with the request is raised before the answer begins, and becomes its status; what goes wrong
later becomes its last line. A client that goes away ends the build.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from onggi.builder.bases import EngineBases
from onggi.builder.builder import Builder, builder_of
from onggi.builder.cache.cache import LOCAL
from onggi.builder.classic import context
from onggi.builder.classic.lines import Failed
from onggi.builder.classic.request import BuildRequest, RequestClient
from onggi.builder.classic.status import StatusTeller
from onggi.builder.classic.stream import Teller
from onggi.builder.dockerfile import gitrefs, typed
from onggi.builder.dockerfile.errors import DockerfileError, excerpt
from onggi.builder.executors.process import ProcessFailed
from onggi.builder.instructions import Dockerfile
from onggi.builder.outputs import image as outputs
from onggi.builder.plan import planner
from onggi.builder.solver.job import Job
from onggi.builder.solver.results import Folder
from onggi.builder.solver.solve import solve
from onggi.engine import streams
from onggi.errors import NotImplemented_, OnggiError
from onggi.spec import reference as references

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

log = logging.getLogger(__name__)


async def build(
    engine: Engine, request: BuildRequest, body: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Receive and check; the lines of the answer. Raises InvalidParameter, NotFound, NoSpace."""
    builder = await builder_of(engine)
    teller = StatusTeller() if request.status else Teller(quiet=request.quiet, remove=request.remove)
    offered = builder.offers.pop(request.build_id, {})
    client = RequestClient(request.build_id, request.credentials, offered)
    job = builder.begin(client, teller, request.run_options(), flow=teller.room, build_id=request.build_id)
    try:
        dockerfile = await _received(builder, job, request, body)
    except BaseException:
        job.close()
        raise
    return _answer(_Build(job, teller, request, dockerfile))


async def _received(
    builder: Builder, job: Job, request: BuildRequest, body: AsyncIterator[bytes]
) -> Dockerfile:
    """The context as a folder of the job's, and the Dockerfile in it."""
    tree = await builder.work(builder.cache.own_tree, LOCAL, f"request-{secrets.token_hex(8)}")
    job.owns(tree.record_id)
    job.forget(tree.record_id)
    path = f"{tree.path}/fs"
    os.mkdir(path, 0o755)
    if request.remote:
        await builder.work(_remote, job, request.remote, tree.path)
    else:
        await builder.work(context.receive, streams.body_reader(body), path)
    name, data = await builder.work(context.dockerfile, path, request.dockerfile)
    folder = Folder(path, tree.record_id)
    job.folders["context"] = folder
    return await builder.work(typed.read, data, name=name)


def _remote(job: Job, url: str, path: str) -> None:
    """The context or the Dockerfile at an address. Blocking. Raises NotFound, Unavailable."""
    from onggi.builder.executors.http import download  # urllib3 is wanted by few builds

    if gitrefs.parse(url, context=True) is not None:
        raise NotImplemented_(f"{url}: this engine clones no repositories yet")
    download(url, f"{path}/remote", {}, stopped=lambda: job.cancelled)
    try:
        context.receive_file(f"{path}/remote", f"{path}/fs")
    finally:
        os.unlink(f"{path}/remote")


async def _answer(work: _Build) -> AsyncGenerator[bytes, None]:
    """Lines as they come. Leaving it early ends the build, and waits for its end."""
    task = asyncio.create_task(work.run(), name=f"build {work.job.id}")
    try:
        while (line := await work.teller.next()) is not None:
            yield line
        await task
    finally:
        work.job.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Build:
    def __init__(
        self, job: Job, teller: Teller | StatusTeller, request: BuildRequest, dockerfile: Dockerfile
    ) -> None:
        self.job = job
        self.teller = teller
        self.request = request
        self.dockerfile = dockerfile

    async def run(self) -> None:
        """All of it; its failure is the last line."""
        try:
            await self._build()
        except asyncio.CancelledError:
            self.teller.fail(Failed(message="build cancelled", exit_code=1))
            raise
        except Exception as error:
            self.teller.fail(self._failed(error))
        finally:
            self.job.close()
            self.teller.end()
        await self.job.builder.trim()

    def _failed(self, error: Exception) -> Failed:
        """What the client is told of an error."""
        excerpt = self._excerpt(error)
        if isinstance(error, ProcessFailed):
            return Failed(
                message=error.message, process=error.args_text, exit_code=error.exit_code, excerpt=excerpt
            )
        if isinstance(error, OnggiError):
            return Failed(message=error.message, excerpt=excerpt)
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            return Failed(message=f"{where}{error.strerror}", excerpt=excerpt)
        log.error("build %s failed: %s", self.job.id, error, exc_info=error)
        return Failed(message=f"internal error: {type(error).__name__} (the engine's log has more)")

    def _excerpt(self, error: Exception) -> str:
        if isinstance(error, DockerfileError):
            return error.excerpt
        failure = self.job.failure
        locations = failure.vertex.meta.locations if failure is not None else ()
        if not locations or locations[0].source >= len(self.dockerfile.sources):
            return ""
        return excerpt(self.dockerfile.sources[locations[0].source], locations[0])

    async def _build(self) -> None:
        job, request = self.job, self.request
        bases = EngineBases(job, self.teller.raw)
        plan = await planner.plan(self.dockerfile, request.options(), request.wanted_platform, bases)
        job.exported.update(ref.vertex for ref in plan.layers)
        self.teller.begin(job, plan)
        wanted = outputs.refs(plan)
        results = await solve(job, plan.graph, [*wanted, *(step.result for step in plan.steps)])
        stacks = await job.builder.work(outputs.stacks_of, job, results[: len(wanted)])
        image = outputs.document(plan, plan.image, stacks, job.layer_times)
        top = stacks[-1]
        names = list(request.names)
        image_id = await job.builder.work(outputs.publish, job, image, top, names)
        self._tell(image_id)

    def _tell(self, image_id: str) -> None:
        familiar = [references.parse(name).familiar for name in self.request.names]
        for name in familiar:
            self.job.engine.events.emit("image", "tag", image_id, {"name": name})
        self.teller.done(image_id, familiar)

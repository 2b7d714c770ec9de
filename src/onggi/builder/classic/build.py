"""One build of the classic door, from the request's body to the last line of its answer.

    receive the context -> read the Dockerfile -> [the answer begins] -> plan -> solve -> image -> names

What is wrong with the request is raised before the answer begins, and becomes its status; what goes wrong
later becomes its last line. A client that goes away ends the build.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from onggi.builder import epoch, questions, remote_context
from onggi.builder import failed as failed_steps
from onggi.builder.bases import EngineBases
from onggi.builder.builder import Builder, builder_of
from onggi.builder.cache.cache import LOCAL
from onggi.builder.classic import caching, context, listing
from onggi.builder.classic.lines import Failed
from onggi.builder.classic.request import BuildRequest, RequestClient
from onggi.builder.classic.status import StatusTeller
from onggi.builder.classic.stream import Teller
from onggi.builder.dockerfile import front_ends, gitrefs, typed
from onggi.builder.dockerfile.errors import DockerfileError, excerpt
from onggi.builder.executors.process import ProcessFailed
from onggi.builder.graph import Plan
from onggi.builder.instructions import Dockerfile
from onggi.builder.outputs import image as outputs
from onggi.builder.outputs.bundle import Bundle, Settings
from onggi.builder.plan import planner
from onggi.builder.solver.job import Job
from onggi.builder.solver.results import Folder, Stack
from onggi.builder.solver.solve import solve
from onggi.engine import streams
from onggi.errors import OnggiError
from onggi.spec import reference as references
from onggi.spec.image import Image

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.images.apply import Source

ANSWER = "onggi.answer"  # a line of Onggi's own, with what was asked of the Dockerfile
log = logging.getLogger(__name__)


async def build(engine: Engine, request: BuildRequest, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Receive and check; the lines of the answer. Raises InvalidParameter, NotFound, NoSpace."""
    builder = await builder_of(engine)
    teller = StatusTeller() if request.status else Teller(quiet=request.quiet, remove=request.remove)
    client = RequestClient(builder, request.build_id, request.credentials)
    job = builder.begin(client, teller, request.run_options(), flow=teller.room, build_id=request.build_id)
    job.closing.append(client.close)
    try:
        dockerfile = await _received(builder, job, request, body)
    except BaseException:
        job.close()
        raise
    work = _Build(job, teller, request, dockerfile)
    return streams.Begun(_answer(work), work.leave)


async def _received(
    builder: Builder, job: Job, request: BuildRequest, body: AsyncIterator[bytes]
) -> Dockerfile:
    """The context as a folder of the job's, and the Dockerfile in it."""
    syntax = request.build_args.get(front_ends.ARGUMENT) or ""
    if request.listed:
        listed = listing.take(builder, request.build_id)
        job.owns(listed.context.record_id)
        stream = streams.body_reader(body)
        folder, text = await builder.work(listing.received, job, listed, stream, request.dockerfile)
        job.folders["context"] = folder
        return await builder.work(typed.read, text, name=request.dockerfile, syntax=syntax)
    folder = await builder.work(_folder, job, None if request.remote else streams.body_reader(body))
    if request.remote:
        await _remote(job, request.remote, folder.path)
    job.folders["context"] = folder
    return await builder.work(_read, folder.path, request.dockerfile, syntax)


def _folder(job: Job, stream: Source | None) -> Folder:
    """A directory of the job's alone, with the archive in it. Blocking."""
    tree = job.builder.cache.own_tree(LOCAL, f"request-{secrets.token_hex(8)}")
    job.owns(tree.record_id)
    job.forget(tree.record_id)
    folder = Folder(f"{tree.path}/fs", tree.record_id)
    os.mkdir(folder.path, 0o755)
    if stream is not None:
        context.receive(stream, folder.path)
    return folder


def _read(path: str, dockerfile: str, syntax: str) -> Dockerfile:
    name, data = context.dockerfile(path, dockerfile)
    return typed.read(data, name=name, syntax=syntax)


async def _remote(job: Job, url: str, path: str) -> None:
    """The context or the Dockerfile at an address. Raises NotFound, Unavailable, InvalidParameter."""
    if gitrefs.parse(url, context=True) is not None:
        _, _, folder = await remote_context.fetched(job, url)
        await job.builder.work(remote_context.copied, folder.path, path)
        return
    await job.builder.work(_downloaded, job, url, path)


def _downloaded(job: Job, url: str, path: str) -> None:
    from onggi.builder.executors.http import download  # urllib3 is wanted by few builds

    file = f"{path}/../remote"
    download(url, file, {}, stopped=lambda: job.cancelled)
    try:
        context.receive_file(file, path)
    finally:
        os.unlink(file)


def _published(job: Job, plan: Plan, image: Image, stack: Stack, request: BuildRequest) -> str:
    at = plan.epoch if request.rewrite else None
    latest_ns = None if at is None else at * epoch.NANO
    known = "" if latest_ns is not None else outputs.known(job, image, list(request.names))
    if known:
        return known
    with Bundle(job, Settings()) as bundle:
        described = bundle.add(image, stack, base=plan.base, latest_ns=latest_ns)
        return outputs.publish(job, bundle, bundle.top([described]), list(request.names))


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
        self.held = contextlib.ExitStack()

    async def leave(self) -> None:
        """Nobody is there to hear of it: it does not begin."""
        self.job.close()

    async def run(self) -> None:
        """All of it; its failure is the last line."""
        try:
            await self._build()
        except asyncio.CancelledError:
            self.teller.fail(Failed(message="build cancelled", exit_code=1))
            raise
        except Exception as error:
            failed = self._failed(error)
            try:
                await self._kept(error, failed)
            finally:  # a build that is cancelled while it waits for a shell says why it waited
                self.teller.fail(failed)
        finally:
            self.held.close()
            self.job.close()
            self.teller.end()
            # A task of its own: this one is cancelled where the client has gone.
            self.job.engine.task(self._clean_up(), "clean-up-after-build")

    async def _clean_up(self) -> None:
        await self.job.builder.sweep(self.job)
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

    async def _kept(self, error: Exception, failed: Failed) -> None:
        """Tell a client that wants to know it of the step that is kept, and wait for its shell."""
        if isinstance(error, ProcessFailed) and error.kept and isinstance(self.teller, StatusTeller):
            self.teller.kept(error.kept, held=self.request.shell, excerpt=failed.excerpt)
            if self.request.shell:
                await failed_steps.hold(self.job, error)

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
        if request.call:
            text = self.dockerfile.sources[0].text
            bases = EngineBases(job, self.teller.raw)
            self.teller.line(
                {"id": ANSWER, "aux": await questions.answer(request.call, text, request.options(), bases)}
            )
            return
        await caching.begin(job, request.cache_from, self.held, anywhere=request.status)
        bases = EngineBases(job, self.teller.raw)
        plan = await planner.plan(self.dockerfile, request.options(), request.wanted_platform, bases)
        job.exported.update(ref.vertex for ref in plan.layers)
        caching.planned(job, plan)
        self.teller.begin(job, plan)
        wanted = outputs.refs(plan)
        results = await solve(job, plan.graph, [*wanted, *(step.result for step in plan.steps)])
        stacks = await job.builder.work(outputs.stacks_of, job, results[: len(wanted)])
        image = outputs.document(plan, plan.image, stacks, job.layer_times)
        top = stacks[-1]
        image = await caching.inlined(job, image, top, request.cache_to)
        image_id = await job.builder.work(_published, job, plan, image, top, request)
        await caching.exported(job, top, request.cache_to)
        self._tell(image_id, plan.epoch)

    def _tell(self, image_id: str, at: int | None) -> None:
        familiar = [references.parse(name).familiar for name in self.request.names]
        for name in familiar:
            self.job.engine.events.emit("image", "tag", image_id, {"name": name})
        self.teller.done(image_id, familiar, at)

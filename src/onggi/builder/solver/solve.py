"""The scheduler: every vertex that the wanted results need, each as soon as its inputs are made.

    solve(job, graph, refs)
        one task for each needed vertex:  inputs --> key --> cache, or an equal one that runs --> executor

Independent vertices run at the same time; the number of processes is bounded (Builder.processes). The first
failure ends the others. Two builds that come to the same key at the same time do the work once: the second
waits, hears the first one's output, and does it itself if the first is cancelled.
Commit point of a vertex: its cache record (cache/cache.py). Failpoints: solve.executed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import msgspec

from onggi import failpoints
from onggi.builder import entitlements
from onggi.builder.executors import executors
from onggi.builder.executors.made import Made
from onggi.builder.graph import Exec, FileOp, Graph, Merge, Ref, Vertex
from onggi.builder.progress import Began, VertexState
from onggi.builder.remote import history, importing
from onggi.builder.solver import keys
from onggi.builder.solver.job import Failure, Job, Shared
from onggi.builder.solver.keys import Key
from onggi.builder.solver.results import Result, Stack
from onggi.engine.cdi import catalog

CANCELED = "context canceled"


async def solve(job: Job, graph: Graph, refs: Iterable[Ref | None]) -> list[Result | None]:
    """The trees that refs name, in their order; None for None. Raises what the first failed vertex raised,
    which `job.failure` names; CancelledError.
    """
    wanted = list(refs)
    needed = graph.needed(*wanted)
    await _allowed(job, needed)
    tasks = []
    job.enter()
    try:
        for vertex in needed:
            if vertex.digest not in job.tasks:
                job.tell(VertexState(vertex=vertex))
                job.tasks[vertex.digest] = asyncio.ensure_future(_vertex(job, vertex))
            tasks.append(job.tasks[vertex.digest])
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and (task.cancelled() or task.exception())]
        if failed:
            raise job.failure.error if job.failure else asyncio.CancelledError()
        return [None if ref is None else _output(job, ref) for ref in wanted]
    except BaseException:
        await _stop(job, tasks)
        raise
    finally:
        job.leave()


async def _allowed(job: Job, needed: list[Vertex]) -> None:
    """Whatever the cache has: a step that may not run gives nothing either. Raises Forbidden, NotFound."""
    allowed = job.options.entitlements
    if entitlements.check(allowed, needed):
        known = await job.builder.work(catalog.read, job.engine.config.cdi_directories)
        for vertex in needed:
            if isinstance(vertex.op, Exec) and vertex.op.devices:
                entitlements.devices(allowed, vertex.op.devices, known)


async def _stop(job: Job, tasks: list[asyncio.Task[Made]]) -> None:
    """End what still runs, and see it end."""
    for task in tasks:
        task.cancel()
    job.stopping = True
    await asyncio.gather(*tasks, return_exceptions=True)
    job.stopping = False
    for digest, task in list(job.tasks.items()):
        if task.cancelled() or task.exception() is not None:
            del job.tasks[digest]


def _output(job: Job, ref: Ref) -> Result:
    return job.tasks[ref.vertex].result().output(ref.output)


async def _vertex(job: Job, vertex: Vertex) -> Made:
    """One vertex, told from its start to its end."""
    inputs = [None if ref is None else (await _input(job, ref)).output(ref.output) for ref in vertex.inputs]
    parents = [job.tasks[ref.vertex].result().record_id for ref in vertex.inputs if ref is not None]
    started = time.time_ns()
    job.tell(VertexState(vertex=vertex, started=started))
    try:
        made = await _made(job, vertex, inputs, tuple(filter(None, parents)))
    except BaseException as error:
        cancelled = isinstance(error, asyncio.CancelledError)
        if not cancelled and job.failure is None:
            job.failure = Failure(vertex, error)
        text = CANCELED if cancelled else str(error)
        job.tell(VertexState(vertex=vertex, started=started, completed=time.time_ns(), error=text))
        raise
    job.made[vertex.digest] = made
    job.tell(VertexState(vertex=vertex, started=started, completed=time.time_ns(), cached=made.cached))
    return made


async def _input(job: Job, ref: Ref) -> Made:
    """Not cancelled with whoever waits for it."""
    return await asyncio.shield(job.tasks[ref.vertex])


async def _made(job: Job, vertex: Vertex, inputs: list[Result | None], parents: tuple[str, ...]) -> Made:
    if not isinstance(vertex.op, Exec | FileOp | Merge):
        return await executors.execute(job, vertex, inputs)
    key, found = await job.builder.work(_looked_up, job, vertex, inputs)
    return found or await _keyed(job, vertex, inputs, key, parents)


def _looked_up(job: Job, vertex: Vertex, inputs: list[Result | None]) -> tuple[Key, Made | None]:
    """The key, and what the cache has under it: one visit to a thread for a step that is cached. Blocking."""
    key = keys.key(job.views, vertex, inputs)
    job.views.save()
    return key, None if vertex.meta.ignore_cache else _cached(job, key)


async def _keyed(
    job: Job, vertex: Vertex, inputs: list[Result | None], key: Key, parents: tuple[str, ...]
) -> Made:
    """From a build that is at it, or made now."""
    while True:
        running = job.builder.shared.get(key.digest)
        if running is None:
            break
        running.jobs.append(job)
        try:
            await asyncio.wait([running.done])
        finally:
            running.jobs.remove(job)
        if not running.done.cancelled() and running.done.exception() is None:
            return await job.builder.work(_adopted, job, running.done.result())
        if not vertex.meta.ignore_cache:
            found = await job.builder.work(_cached, job, key)
            if found is not None:
                return found
    return await _execute(job, vertex, inputs, key, parents)


def _cached(job: Job, key: Key) -> Made | None:
    """What the cache has, pinned. Blocking."""
    with job.engine.images.lock:
        found = job.builder.cache.find(key.digest)
        if found is None:
            return None
        for stack in found.outputs.values():
            job.hold(stack)
    job.use(found.record_id)
    for stack in found.outputs.values():
        job.dated(stack, found.created_at)
    return Made(
        outputs=dict(found.outputs), record_id=found.record_id, created_at=found.created_at, cached=True
    )


def _adopted(job: Job, made: Made) -> Made:
    """Another build's result, as this build's own. Blocking."""
    with job.engine.images.lock:
        for result in made.outputs.values():
            if isinstance(result, Stack):
                job.hold(result)
    job.use(made.record_id)
    for result in made.outputs.values():
        job.dated(result, made.created_at)
    return made


async def _execute(
    job: Job, vertex: Vertex, inputs: list[Result | None], key: Key, parents: tuple[str, ...]
) -> Made:
    shared = Shared(asyncio.get_running_loop().create_future(), [job])
    job.builder.shared[key.digest] = shared
    job.running[vertex.digest] = shared
    try:
        found = None if vertex.meta.ignore_cache else await _from_elsewhere(job, vertex, inputs, key)
        if found is None:
            job.tell(Began(vertex=vertex.digest, at=time.time_ns()))
            found = await executors.execute(job, vertex, inputs)
            failpoints.hit("solve.executed")
            if job.cache_images:
                found = await job.builder.work(history.copy_like, job, vertex, inputs, found)
        made = found
        if not made.record_id:
            made = await job.builder.work(_saved, job, vertex, key, parents, made)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            shared.done.cancel()
        else:
            shared.done.set_exception(error)
            shared.done.exception()  # whoever waits looks; nobody has to
        raise
    else:
        shared.done.set_result(made)
        return made
    finally:
        del job.builder.shared[key.digest]
        del job.running[vertex.digest]


async def _from_elsewhere(job: Job, vertex: Vertex, inputs: list[Result | None], key: Key) -> Made | None:
    """An imported cache's result, or the layer of an image of the same steps."""
    if job.imported:
        found = await importing.take(job, vertex, key)
        if found is not None:
            return found
    if job.cache_images:
        return await job.builder.work(history.run_from, job, vertex, inputs)
    return None


def _saved(job: Job, vertex: Vertex, key: Key, parents: tuple[str, ...], made: Made) -> Made:
    """Blocking: the record, and its use by this build."""
    stacks = {number: one for number, one in made.outputs.items() if isinstance(one, Stack)}
    now = time.time_ns()
    record_id = job.builder.cache.save(
        key.digest, vertex=vertex.digest, name=vertex.meta.name, outputs=stacks, parts=key.parts,
        parents=parents, disk_bytes=made.disk_bytes, created_at=now,
    )  # fmt: skip
    job.use(record_id)
    for stack in stacks.values():
        job.dated(stack, now)
    return msgspec.structs.replace(made, record_id=record_id, created_at=now)

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
from onggi.builder.executors import executors
from onggi.builder.executors.made import Made
from onggi.builder.graph import Exec, FileOp, Graph, Merge, Ref, Vertex
from onggi.builder.progress import Began, VertexState
from onggi.builder.solver import keys
from onggi.builder.solver.job import Failure, Job, Shared
from onggi.builder.solver.keys import Key
from onggi.builder.solver.results import Result, Stack

CANCELED = "context canceled"


async def solve(job: Job, graph: Graph, refs: Iterable[Ref | None]) -> list[Result | None]:
    """The trees that refs name, in their order; None for None. Raises what the first failed vertex raised,
    which `job.failure` names; CancelledError.
    """
    wanted = list(refs)
    needed = graph.needed(*wanted)
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
    key = await job.builder.work(keys.key, job.views, vertex, inputs)
    return await _keyed(job, vertex, inputs, key, parents)


async def _keyed(
    job: Job, vertex: Vertex, inputs: list[Result | None], key: Key, parents: tuple[str, ...]
) -> Made:
    """Out of the cache, from a build that is at it, or made now."""
    ignore = vertex.meta.ignore_cache
    while True:
        if not ignore:
            found = await job.builder.work(_cached, job, vertex, key)
            if found is not None:
                return found
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
    return await _execute(job, vertex, inputs, key, parents)


def _cached(job: Job, vertex: Vertex, key: Key) -> Made | None:
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
    job.tell(Began(vertex=vertex.digest, at=time.time_ns()))
    try:
        made = await executors.execute(job, vertex, inputs)
        failpoints.hit("solve.executed")
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

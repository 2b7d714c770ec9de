"""What a client does with a step that failed (cache/failed.py): a shell in what it left, or the step again.

    hold(job, error)         a build waits, with all that it has, for the shell that its client opens
    shell(engine, id, ...)   in such a build, or in what was kept of an earlier one
    rerun(engine, id, ...)   the step on what it stood on; its result goes into the cache, under its key

A build that waits is ended by its client going away, or by cancelling it; its shell ends with it. The
secrets and agents of an earlier one are offered again under a build id. Files that its client sent are gone:
a shell has not these mounts, and a step that wants them cannot be run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from onggi.builder import entitlements
from onggi.builder.builder import Builder, builder_of
from onggi.builder.cache import failed as kept_steps
from onggi.builder.cache.failed import Kept
from onggi.builder.classic.lines import Failed
from onggi.builder.classic.request import RequestClient
from onggi.builder.classic.status import StatusTeller
from onggi.builder.executors.process import ProcessFailed
from onggi.builder.executors.shell import Shell
from onggi.builder.graph import Graph, Meta, OciLayoutSource, Ref, Vertex, vertex
from onggi.builder.solver.job import Job, RunOptions
from onggi.builder.solver.results import Result
from onggi.builder.solver.solve import solve
from onggi.engine.exec_.start import Hijacked
from onggi.engine.streams import Begun
from onggi.errors import Conflict, NotFound, OnggiError

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

STORE = "onggi-kept"


class Terminal(msgspec.Struct, frozen=True):
    """A client's: how its connection is taken over, and the size."""

    hijack: Callable[[], Awaitable[Hijacked]]
    rows: int
    columns: int


class Held:
    """A build that waits with a step that failed. `over`: its shell has ended; `idle`: none runs."""

    def __init__(self, job: Job, step: Vertex, inputs: list[Result | None]) -> None:
        self.job = job
        self.step = step
        self.inputs = inputs
        self.over = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()


async def hold(job: Job, error: ProcessFailed) -> None:
    """Wait for the shell of a step that is kept. Cancelled, it sees a shell that runs end."""
    assert job.failure is not None
    step = job.failure.vertex
    inputs = [None if ref is None else job.made[ref.vertex].output(ref.output) for ref in step.inputs]
    held = job.builder.held[error.kept] = Held(job, step, inputs)
    job.enter()
    try:
        await held.over.wait()
    finally:
        job.leave()
        del job.builder.held[error.kept]
        await asyncio.shield(held.idle.wait())


# -- a shell


async def shell(engine: Engine, name: str, build_id: str, terminal: Terminal) -> None:
    """To its end. Raises NotFound, InvalidParameter, Conflict, and what prepares a step."""
    builder = await builder_of(engine)
    kept = await builder.work(kept_steps.find, builder.cache, name)
    if kept.id in builder.shells:
        raise Conflict(f"a shell runs already in failed step {kept.id}")
    held = builder.held.get(kept.id)
    if held is not None:
        held.idle.clear()
        try:
            await _run(kept, Shell(held.job, held.step, held.inputs, kept.tree), held.job, terminal)
        finally:
            held.over.set()
            held.idle.set()
        return
    job = _begin(builder, kept, build_id)
    try:
        await _run(kept, Shell(job, _without_lost(kept), list(kept.inputs), kept.tree), job, terminal)
    finally:
        job.close()


async def _run(kept: Kept, one: Shell, job: Job, terminal: Terminal) -> None:
    """In a task of its own, which the end of its job ends: the running one is the connection's."""
    job.builder.shells[kept.id] = one
    task = asyncio.create_task(_joined(kept, one, job, terminal), name=f"shell {kept.id}")
    try:
        await asyncio.wait([task])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del job.builder.shells[kept.id]
    if not task.cancelled():
        task.result()


async def _joined(kept: Kept, one: Shell, job: Job, terminal: Terminal) -> None:
    job.enter()
    try:
        await job.builder.work(job.hold, kept.tree)
        await one.run(terminal.hijack, terminal.rows, terminal.columns)
    finally:
        job.leave()


async def resize(engine: Engine, name: str, *, rows: int, columns: int) -> None:
    """Raises NotFound, Conflict."""
    builder = await builder_of(engine)
    running = [one for id, one in builder.shells.items() if name and id.startswith(name)]
    if len(running) != 1:
        raise NotFound(f"no shell runs in failed step {name}")
    await running[0].resize(rows, columns)


def _begin(builder: Builder, kept: Kept, build_id: str, teller: StatusTeller | None = None) -> Job:
    step = kept.step
    allowed = entitlements.within(step.entitlements, builder.engine.config.build_entitlements)
    options = RunOptions(limits=step.limits, network=step.network, entitlements=allowed)
    client = RequestClient(builder, build_id, {})
    flow = None if teller is None else teller.room
    job = builder.begin(client, teller or (lambda event: None), options, flow=flow, build_id=build_id)
    job.closing.append(client.close)
    job.use(kept.id)
    return job


def _without_lost(kept: Kept) -> Vertex:
    """The step as far as it was kept."""
    mounts = tuple(one for one in kept.step.op.mounts if one.target not in kept.step.lost)
    op = msgspec.structs.replace(kept.step.op, mounts=mounts)
    return vertex(op, (), kept.step.platform, Meta(name=kept.step.name))


# -- once more


async def rerun(engine: Engine, name: str, build_id: str) -> AsyncIterator[bytes]:
    """The lines of an answer, as those of a build with `progress=status`. Raises NotFound, Conflict."""
    builder = await builder_of(engine)
    kept = await builder.work(kept_steps.find, builder.cache, name)
    if kept.step.lost:
        raise Conflict(
            f"failed step {kept.id} cannot be run again: the files at {', '.join(kept.step.lost)} came from "
            "the client of its build, and are not kept; build again, or look into it with a shell"
        )
    teller = StatusTeller()
    job = _begin(builder, kept, build_id, teller)

    async def leave() -> None:
        job.close()

    return Begun(_answer(job, kept, teller), leave)


async def _answer(job: Job, kept: Kept, teller: StatusTeller) -> AsyncGenerator[bytes, None]:
    """Leaving it early ends the step, and waits for its end."""
    task = asyncio.create_task(_once_more(job, kept, teller), name=f"rerun {kept.id}")
    try:
        while (line := await teller.next()) is not None:
            yield line
        await task
    finally:
        job.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _once_more(job: Job, kept: Kept, teller: StatusTeller) -> None:
    try:
        graph, ref = _graph(job, kept)
        await job.builder.work(_hold, job, kept)
        await solve(job, graph, [ref])
        job.forget(kept.id)
    except asyncio.CancelledError:
        teller.fail(Failed(message="build cancelled", exit_code=1))
        raise
    except (OnggiError, OSError) as error:
        code = 0
        if isinstance(error, ProcessFailed):
            code = error.exit_code
            if error.kept:
                teller.kept(error.kept)
        teller.fail(Failed(message=str(error), exit_code=code))
    finally:
        job.close()
        teller.end()
    await job.builder.trim()


def _hold(job: Job, kept: Kept) -> None:
    for stack in kept.inputs:
        if stack is not None:
            job.hold(stack)


def _graph(job: Job, kept: Kept) -> tuple[Graph, Ref]:
    """The step alone, on trees that are here: what they are named by is no part of the step's key."""
    graph = Graph()
    refs: list[Ref | None] = []
    for stack in kept.inputs:
        if stack is None:
            refs.append(None)
            continue
        reference = f"{STORE}@{stack.top or 'empty'}"
        job.layouts[reference] = stack
        source = OciLayoutSource(store=STORE, reference=reference)
        meta = Meta(name=f"[internal] what it stood on: {stack.top[7:19] or 'an empty tree'}")
        refs.append(graph.add(vertex(source, (), kept.step.platform, meta)))
    step = vertex(kept.step.op, refs, kept.step.platform, Meta(name=kept.step.name))
    return graph, graph.add(step)

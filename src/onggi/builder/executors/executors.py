"""From an op to the module that carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.builder.executors import files, layers, process, sources
from onggi.builder.executors.made import Made
from onggi.builder.graph import Diff, Exec, FileOp, Merge, Vertex

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job
    from onggi.builder.solver.results import Result


async def execute(job: Job, vertex: Vertex, inputs: list[Result | None]) -> Made:
    """Carry out a vertex whose inputs are made. Raises what went wrong, naming it."""
    match vertex.op:
        case Exec():
            return await process.run(job, vertex, vertex.op, inputs)
        case FileOp():
            return await job.builder.work(files.run, job, vertex, vertex.op, inputs)
        case Merge():
            return await job.builder.work(layers.merge, job, vertex, vertex.op, inputs)
        case Diff():
            return await job.builder.work(layers.diff, job, vertex, vertex.op, inputs)
    return await sources.fetch(job, vertex)

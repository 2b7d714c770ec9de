"""A step that failed: what it left and what it was are kept as a record of the cache (cache/failed.py).

Commit point: the record's row. Failpoints: process.kept.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.builder.cache import failed as kept_steps
from onggi.builder.cache.failed import FailedStep
from onggi.builder.progress import Kept
from onggi.builder.solver.results import Folder, Stack
from onggi.errors import OnggiError
from onggi.images import places
from onggi.images.layers import commit_layer

if TYPE_CHECKING:
    from onggi.builder.executors.process import Step

log = logging.getLogger(__name__)


async def keep(step: Step) -> str:
    """The id under which it is kept; empty where that cannot be, which the log says: what the user has to see
    is the step's own failure.
    """
    try:
        record_id = await step.job.builder.work(_keep, step)
    except (OnggiError, OSError) as error:
        log.warning("cannot keep the failed step %s: %s", step.vertex.meta.name, error)
        return ""
    step.job.tell(Kept(vertex=step.vertex.digest, record_id=record_id, at=time.time_ns()))
    return record_id


def _keep(step: Step) -> str:
    """Blocking."""
    job, cache = step.job, step.job.builder.cache
    tree = step.mounts.take_root()
    try:
        if step.made_in_tree:
            places.remove_made(tree.fd, step.places)
        os.close(tree.fd)
        made = commit_layer(step.engine.images, tree.key, keep_blob=False, pin=job.pin)
    except BaseException:
        step.engine.snapshots.remove(tree.key)
        raise
    left = tree.base if made is None else tree.base.on(made.layer)
    parents = [job.made[ref.vertex].record_id for ref in step.vertex.inputs if ref and ref.vertex in job.made]
    record_id = cache.save(
        "", vertex=step.vertex.digest, name=f"failed: {step.vertex.meta.name}", outputs={0: left}, parts=(),
        parents=tuple(filter(None, parents)), disk_bytes=0 if made is None else made.disk_bytes,
        created_at=time.time_ns(), failed=_described(step, tree.base),
    )  # fmt: skip
    job.use(record_id)
    failpoints.hit("process.kept")
    kept_steps.bound(cache, step.engine.images)
    return record_id


def _described(step: Step, base: Stack) -> FailedStep:
    op, options = step.op, step.job.options
    root = next(one for one in op.mounts if one.target == "/")
    inputs: list[str | None] = [one.top if isinstance(one, Stack) else None for one in step.inputs]
    if root.input >= 0:
        inputs[root.input] = base.top
    lost = [
        one.target
        for one in op.mounts
        if one is not root and one.input >= 0 and isinstance(step.inputs[one.input], Folder)
    ]
    return FailedStep(
        op=msgspec.structs.replace(op, proxy=()), platform=step.vertex.platform, name=step.vertex.meta.name,
        inputs=tuple(inputs), lost=tuple(lost), limits=options.limits, network=options.network,
        entitlements=options.entitlements,
    )  # fmt: skip

"""Merge and diff: layers laid on other layers, as they are.

A layer's chain id names what is below it too, so a layer that moves becomes a snapshot of its own: its packed
bytes are unpacked once more, on their new base. Blocking.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from onggi.builder.executors.files import as_stack
from onggi.builder.executors.made import Made
from onggi.builder.graph import Diff, Merge, Vertex
from onggi.builder.solver.results import EMPTY, Result, Stack
from onggi.images.changes import tree_changes
from onggi.images.commit import pack_snapshot
from onggi.images.layers import pack_layer
from onggi.images.pack import pack_changes
from onggi.images.unpacking import Unpacking
from onggi.spec import digest as digests
from onggi.store import images as rows
from onggi.store.images import LayerRow

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job


def merge(job: Job, vertex: Vertex, op: Merge, inputs: list[Result | None]) -> Made:
    """Every input's layers on the first one's. Raises OSError, NoSpace, Corrupt."""
    keep_blob = vertex.digest in job.exported
    stack = EMPTY
    for number in op.inputs:
        each = as_stack(job, inputs[number], keep_blob=keep_blob)
        if not stack.layers:
            stack = each
            continue
        for layer in each.layers:
            stack = stack.on(_moved(job, layer, stack, keep_blob=keep_blob))
    return Made(outputs={0: stack})


def diff(job: Job, vertex: Vertex, op: Diff, inputs: list[Result | None]) -> Made:
    """The layers that `upper` has above `lower`, where it stands on it; else the two trees compared."""
    lower = as_stack(job, inputs[op.lower] if op.lower >= 0 else None)
    upper = as_stack(job, inputs[op.upper] if op.upper >= 0 else None)
    count = len(lower.layers)
    if upper.layers[:count] != lower.layers:
        return Made(outputs={0: _compared(job, lower, upper, keep_blob=vertex.digest in job.exported)})
    stack = EMPTY
    for layer in upper.layers[count:]:
        stack = stack.on(_moved(job, layer, stack, keep_blob=vertex.digest in job.exported))
    return Made(outputs={0: stack})


def _compared(job: Job, lower: Stack, upper: Stack, *, keep_blob: bool) -> Stack:
    """What differs between two trees that do not stand on each other, as one layer."""
    images = job.engine.images
    worker = Unpacking(images)
    digest = hashlib.sha256()

    class Sink:
        def write(self, data: bytes, /) -> None:
            digest.update(data)
            worker.write(data)

    try:
        new_fd, old_fd = job.views.root(upper), job.views.root(lower)
        packed = pack_changes(new_fd, tree_changes(new_fd, [old_fd]), Sink())
    except BaseException:
        worker.abandon()
        raise
    done = worker.finish("sha256:" + digest.hexdigest())
    try:
        if not packed.entries:
            return EMPTY
        row = LayerRow(done.diff_id, None, done.diff_id, "", done.size)
        return EMPTY.on(_committed(job, done.key, row, keep_blob=keep_blob))
    finally:
        images.snapshots.remove(done.key)  # gone already where it was committed


def _committed(job: Job, key: str, row: LayerRow, *, keep_blob: bool) -> LayerRow:
    images = job.engine.images
    job.pin(row.chain_id)
    with images.lock:
        known = rows.get_layer(images.database, row.chain_id)
        if known is None:
            with images.database.transaction():
                images.snapshots.commit(key, row.chain_id, "")
                rows.add_layer(images.database, row)
            known = row
    return pack_layer(images, known.chain_id, pin=job.pin) if keep_blob and not known.blob else known


def _moved(job: Job, layer: LayerRow, below: Stack, *, keep_blob: bool) -> LayerRow:
    """The same layer on another base; unpacked there where it is not yet."""
    images = job.engine.images
    chain_id = digests.chain_ids([below.top, layer.diff_id])[1] if below.top else layer.diff_id
    with images.lock:
        job.pin(chain_id)
        known = rows.get_layer(images.database, chain_id)
    if known is None:
        known = _unpacked(job, layer, below, chain_id)
    if keep_blob and not known.blob:
        known = pack_layer(images, chain_id, pin=job.pin)
    return known


def _unpacked(job: Job, layer: LayerRow, below: Stack, chain_id: str) -> LayerRow:
    images = job.engine.images
    stackable = images.snapshots.stackable
    worker = Unpacking(images, "" if stackable else below.top)
    try:
        pack_snapshot(images, layer.chain_id, worker)
    except BaseException:
        worker.abandon()
        raise
    done = worker.finish(layer.diff_id)
    row = LayerRow(chain_id, below.top or None, layer.diff_id, layer.blob, done.size)
    try:
        with images.lock:
            known = rows.get_layer(images.database, chain_id)
            if known is not None:
                return known
            with images.database.transaction():
                images.snapshots.commit(done.key, chain_id, below.top if stackable else "")
                rows.add_layer(images.database, row)
            return row
    finally:
        images.snapshots.remove(done.key)  # gone already where it was committed

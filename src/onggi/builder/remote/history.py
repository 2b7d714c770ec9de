"""Classic `--cache-from`: a step is taken from an image that was built by the same steps up to there.

dockerd's rule (daemon/images/cache.go): the image stands on the same layers, its history begins with the same
instructions, and the next one is this step. For a copy dockerd compares a checksum that it wrote into the
history; here the copy is made, and its layer compared with the image's, times left out. So the layers of the
image are taken, and the steps above them find their base.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.executors.made import Made
from onggi.builder.graph import Exec, FileOp, Plan, Vertex
from onggi.builder.solver.results import Result, Stack
from onggi.images.commit import pack_snapshot, packed
from onggi.images.images import Image
from onggi.images.staging import Pieces
from onggi.images.tar.reader import Reader
from onggi.store.images import LayerRow

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job

_CLASSIC = re.compile(r"^/bin/sh -c #\(nop\)\s+")
_COPY = re.compile(r"^(ADD|COPY) .* in (\S+)\s*$", re.DOTALL)


class Lines(msgspec.Struct, frozen=True):
    """What the history of an image says when a step is done."""

    before: tuple[str, ...]
    own: str


def lines(plan: Plan) -> dict[str, Lines]:
    """For each vertex that is the whole of an instruction: the history up to it, and its own line."""
    found = {}
    for step in plan.steps:
        if len(step.vertices) == 1 or (step.vertices and step.result is not None):
            texts = tuple(normal(entry.created_by or "") for entry in step.image.history or [])
            vertex = step.result.vertex if step.result is not None else step.vertices[-1]
            if texts:
                found[vertex] = Lines(texts[:-1], texts[-1])
    return found


def normal(text: str) -> str:
    """One spelling for what the classic builder and BuildKit write."""
    text = text.removesuffix(" # buildkit").strip()
    classic = _CLASSIC.sub("", text)
    if classic != text:
        copied = _COPY.match(classic)
        return f"{copied[1]} {copied[2]}" if copied else classic.strip()
    if text.startswith(("COPY ", "ADD ")):
        words = text.split()
        return f"{words[0]} {words[-1]}"
    return text.removeprefix("RUN ")


def run_from(job: Job, vertex: Vertex, inputs: list[Result | None]) -> Made | None:
    """The layer that an image has for a process step. Blocking."""
    if not isinstance(vertex.op, Exec):
        return None
    root = next(mount for mount in vertex.op.mounts if mount.target == "/")
    base = inputs[root.input] if root.input >= 0 else Stack()
    layer = _next(job, vertex, base) if isinstance(base, Stack) else None
    if layer is None or root.output < 0:
        return None
    assert isinstance(base, Stack)
    return _taken(job, base, layer, root.output)


def copy_like(job: Job, vertex: Vertex, inputs: list[Result | None], made: Made) -> Made:
    """What a copy has made, or an image's layer that has the same in it. Blocking."""
    if not isinstance(vertex.op, FileOp):
        return made
    result = made.output(0)
    place = vertex.op.actions[0].input
    base = inputs[place] if 0 <= place < len(inputs) else Stack()
    if (
        not isinstance(result, Stack)
        or not isinstance(base, Stack)
        or len(result.layers) != len(base.layers) + 1
    ):
        return made
    layer = _next(job, vertex, base)
    if layer is None or _timeless(job, layer) != _timeless(job, result.layers[-1]):
        return made
    return _taken(job, base, layer, 0)


def _taken(job: Job, base: Stack, layer: LayerRow, output: int) -> Made:
    stack = base.on(layer)
    with job.engine.images.lock:
        job.hold(stack)
    return Made(outputs={output: stack}, cached=True)


def _next(job: Job, vertex: Vertex, base: Stack) -> LayerRow | None:
    """The layer above `base` in an image whose history says that this step made it."""
    said = job.history.get(vertex.digest)
    if said is None:
        return None
    for image in job.cache_images:
        layer = _in(image, said, base)
        if layer is not None:
            return layer
    return None


def _in(image: Image, said: Lines, base: Stack) -> LayerRow | None:
    count = len(base.layers)
    if len(image.layers) <= count or (count and image.layers[count - 1].chain_id != base.top):
        return None
    history = image.document.history or []
    place = len(said.before)
    if place >= len(history) or history[place].empty_layer:
        return None
    if sum(not entry.empty_layer for entry in history[:place]) != count:
        return None
    texts = [normal(entry.created_by or "") for entry in history[: place + 1]]
    return image.layers[count] if texts == [*said.before, said.own] else None


def _timeless(job: Job, layer: LayerRow) -> str:
    """The digest of a layer's members without their times."""
    digest = hashlib.sha256()
    pieces = packed(lambda pipe: pack_snapshot(job.engine.images, layer.chain_id, pipe))
    reader = Reader(Pieces(pieces))
    for entry in reader:
        body = hashlib.sha256()
        while piece := reader.piece():
            body.update(piece)
        facts = [getattr(entry, name) for name in entry.__slots__ if name not in ("mtime_ns", "offset")]
        digest.update(repr((facts, body.digest())).encode())
    return digest.hexdigest()

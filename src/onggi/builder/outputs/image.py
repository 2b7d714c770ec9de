"""A plan and its trees -> an image in the store, under the names that were asked for.

The document is a function of the plan, the layers and the instants at which these were made, which the cache
remembers: the same Dockerfile on the same cache gives the same image. Docker's rules: an instruction that
changed no file has an empty layer, and an image is as old as its newest layer.
Commit point: Staging.publish.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.executors.files import as_stack
from onggi.builder.graph import Plan, Ref
from onggi.builder.solver.results import EMPTY, Result, Stack
from onggi.errors import Corrupt
from onggi.images.layers import pack_layer
from onggi.images.staging import NewImage, Staging
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import timestamp
from onggi.spec.image import History, Image, RootFS

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job


def document(plan: Plan, image: Image, stacks: list[Stack], times: dict[str, int]) -> Image:
    """The image as it is after the instructions whose trees are `stacks`, bottom first.

    `image` has the history up to there, one entry without `empty_layer` for each of the stacks after the
    base's own. `times` are by chain id, in nanoseconds since 1970.
    """
    base_history = list(plan.base.history or []) if plan.base is not None else []
    base_layers = len(plan.base.rootfs.diff_ids) if plan.base is not None else 0
    below = Stack(stacks[0].layers[:base_layers]) if stacks else EMPTY
    at = timestamp.parse(plan.base.created or "") if plan.base is not None else 0
    history: list[History] = []
    left = iter(stacks)
    for entry in list(image.history or [])[len(base_history) :]:
        if not entry.empty_layer:
            tree = next(left)
            entry = msgspec.structs.replace(entry, empty_layer=tree.top == below.top)
            at = max(at, times.get(tree.top, 0))
            below = tree
        history.append(entry if entry.created else msgspec.structs.replace(entry, created=_text(plan, at)))
    return msgspec.structs.replace(
        image,
        comment=None,
        container=None,
        docker_version=None,
        created=_text(plan, at),
        rootfs=RootFS(diff_ids=[layer.diff_id for layer in below.layers]),
        history=[*base_history, *history],
    )


def _text(plan: Plan, at: int) -> str:
    if plan.epoch is not None:
        at = plan.epoch * 1_000_000_000
    return timestamp.text(at or time.time_ns())


def image_id(image: Image) -> str:
    return digests.of(documents.encode(image))


def stacks_of(job: Job, results: list[Result | None]) -> list[Stack]:
    """Blocking: folders become layers."""
    return [as_stack(job, one, keep_blob=True) for one in results]


def refs(plan: Plan) -> list[Ref | None]:
    """What has to be solved for an image: the tree after each layer, and where none was added, the base's."""
    return list(plan.layers) or [plan.result]


def publish(job: Job, image: Image, stack: Stack, names: list[str]) -> str:
    """Put the image into the store; its id. `names` are canonical. Blocking.

    Raises Corrupt, NoSpace, InvalidParameter.
    """
    images = job.engine.images
    blobs = [pack_layer(images, layer.chain_id, pin=job.pin).blob for layer in stack.layers]
    with Staging(images) as staging:
        for blob in blobs:
            if not staging.known(blob):
                raise Corrupt(f"blob {blob} is missing from the store")
        config = staging.document(documents.encode(image))
        found = staging.publish([NewImage(config, blobs, names)])[0].id
    job.builder.cache.synced()
    return found

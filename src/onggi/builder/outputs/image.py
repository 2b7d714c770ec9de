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

from onggi.builder import epoch
from onggi.builder.executors.files import as_stack
from onggi.builder.graph import Plan, Ref
from onggi.builder.solver.results import EMPTY, Result, Stack
from onggi.engine.images.dropping import drop_packed
from onggi.images.staging import NewImage, NewIndex, Staging, pieces_of
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import timestamp
from onggi.spec.image import Descriptor, History, Image, RootFS
from onggi.spec.platform import Platform
from onggi.spec.reference import Reference
from onggi.store import images as rows

if TYPE_CHECKING:
    from onggi.builder.outputs.bundle import Bundle
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
        cache=None,
        created=_text(plan, at),
        rootfs=RootFS(diff_ids=[layer.diff_id for layer in below.layers]),
        history=[*base_history, *history],
    )


def _text(plan: Plan, at: int) -> str:
    if plan.epoch is not None:
        return epoch.stamp(plan.epoch)
    return timestamp.text(at or time.time_ns())


def bare(platform: Platform, stack: Stack, times: dict[str, int]) -> Image:
    """The image of a tree that no Dockerfile describes: its layers, and nothing said of them."""
    at = max((times.get(layer.chain_id, 0) for layer in stack.layers), default=0)
    created = timestamp.text(at or time.time_ns())
    return Image(
        created=created,
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant or None,
        config=documents.Config(),
        rootfs=RootFS(diff_ids=[layer.diff_id for layer in stack.layers]),
        history=[History(created=created, comment="buildkit.exporter.image.v0") for _ in stack.layers],
    )


def image_id(image: Image) -> str:
    return digests.of(documents.encode(image))


def stacks_of(job: Job, results: list[Result | None]) -> list[Stack]:
    """Blocking: folders become layers."""
    return [as_stack(job, one, keep_blob=True) for one in results]


def refs(plan: Plan) -> list[Ref | None]:
    """What has to be solved for an image: the tree after each layer, and where none was added, the base's."""
    return list(plan.layers) or [plan.result]


def known(job: Job, image: Image, names: list[str]) -> str:
    """The id of an image that is here under all these names already, which are dated anew; else empty. A
    build of which every step was cached has nothing to write, and the disk nothing to wait for. Blocking.
    """
    images = job.engine.images
    found = image_id(image)
    with images.lock, images.database.transaction():
        row = rows.get(images.database, found)
        kept = [rows.get_name(images.database, name) for name in names]
        if row is None or any(one is None or one.image_id != found or one.target for one in kept):
            return ""
        now = time.time_ns()
        rows.used(images.database, found, now)
        for one in filter(None, kept):
            rows.set_name(images.database, one, now)
    return found


def publish(job: Job, bundle: Bundle, top: Descriptor, names: list[str]) -> str:
    """Put a bundle's images into the store; the id of the one that leads. `names` are canonical. Blocking.

    Raises Corrupt, NoSpace, InvalidParameter.
    """
    images = job.engine.images
    single = top.digest in bundle.images
    with Staging(images) as staging:
        for layer in bundle.layers:
            if not staging.known(layer):
                with bundle.opener(layer)() as file:
                    staging.blob(pieces_of(file), layer)
        for data in bundle.documents.values():
            staging.document(data)
        new = [_new(bundle, digest, names if single else []) for digest in bundle.images]
        parts = {one.config for one in new} | set(bundle.images)
        others = [digest for digest in bundle.documents if digest not in parts]
        entries = [digest for digest in bundle.manifests if digest != top.digest]
        indexes = [] if single else [NewIndex(top.digest, entries, others, names)]
        published = staging.publish(new, indexes)
    drop_packed(job.engine, [one.id for one in published])
    job.builder.cache.synced()
    return published[-1].id


def _new(bundle: Bundle, digest: str, names: list[str]) -> NewImage:
    manifest = documents.decode(documents.Manifest, bundle.documents[digest], f"manifest {digest}")
    return NewImage(manifest.config.digest, [layer.digest for layer in manifest.layers], names, digest)


def known_there(job: Job, named: Reference, image_id: str, digest: str) -> None:
    """A registry has an image under this digest now: kept as a name, where the image here is the same."""
    images = job.engine.images
    with images.lock:
        image = images.get(image_id)
        if image is not None and image.manifest == digest:
            by_digest = str(Reference(named.domain, named.path, "", digest))
            rows.set_name(images.database, rows.NameRow(by_digest, image_id, digest), time.time_ns())

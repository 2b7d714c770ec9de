"""`docker image prune`: images that nothing uses.

Docker's filters, and ours: `unused-for=168h` (no container of it was started or ended since, and it did not
come since), `keep=N` (the N newest of each repository stay; only with dangling=false). With `dry_run` nothing
is touched: the answer says what would go, with names and sizes.
Each image is a commit point of its own (images/remove.py). Failpoints: prune.deleted, remove.row-deleted,
collect.*.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import clock
from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.images.list_ import chosen_by
from onggi.engine.images.remove import told
from onggi.errors import InvalidParameter
from onggi.images.images import Image
from onggi.images.remove import Removed, delete_unused, in_use, plan
from onggi.spec import reference
from onggi.store import images as rows
from onggi.wire.images import ImageDeleteResponseItem, ImagePrunePlan, ImagePruneResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset({"dangling", "label", "label!", "until", "unused-for", "keep"})


async def prune(
    engine: Engine, filters: Filters, *, dry_run: bool = False, without: Set[str] = frozenset()
) -> ImagePruneResponse:
    """Untagged images, or with `dangling=false` all that no container uses. Raises InvalidParameter.

    `without` are ids of containers that a dry run takes as gone.
    """
    filters_.check(filters, FILTERS)
    everything = filters_.truth(filters, "dangling") is False
    keep = _count(filters)
    if keep and not everything:
        raise InvalidParameter("invalid filter 'keep': it is of images with names, and needs dangling=false")
    if dry_run:
        return await engine.offload(_planned, engine, filters, everything, keep, without)
    deleted: list[ImageDeleteResponseItem] = []
    freed = 0
    for removed in await engine.offload(_prune, engine, filters, everything, keep):
        deleted += told(engine, removed)
        freed += removed.freed
    engine.events.emit("image", "prune", "", {"reclaimed": str(freed)})
    return ImagePruneResponse(images_deleted=deleted or None, space_reclaimed=freed)


def _prune(engine: Engine, filters: Filters, everything: bool, keep: int) -> list[Removed]:
    done = []
    with engine.images.lock:
        for image in _chosen(engine, filters, everything, keep):
            if not in_use(engine.images, image.id):
                done.append(delete_unused(engine.images, image.id))
                failpoints.hit("prune.deleted")
    return done


def _planned(
    engine: Engine, filters: Filters, everything: bool, keep: int, without: Set[str]
) -> ImagePruneResponse:
    with engine.images.lock:
        chosen = _chosen(engine, filters, everything, keep)
        planned = plan(engine.images, [image.id for image in chosen], without)
    known = {image.id: image for image in chosen}
    return ImagePruneResponse(
        images_deleted=[
            ImageDeleteResponseItem(untagged=untagged, deleted=deleted)
            for removed in planned
            for untagged, deleted in removed.lines
        ]
        or None,
        space_reclaimed=sum(removed.freed for removed in planned),
        plan=[_shown(known[removed.images[0]], removed.freed) for removed in planned],
    )


def _shown(image: Image, freed: int) -> ImagePrunePlan:
    return ImagePrunePlan(
        id=image.id,
        repo_tags=image.repo_tags,
        created=image.created_at // clock.SECOND,
        last_used=image.used_at // clock.SECOND,
        size=image.size,
        reclaimed=freed,
    )


def _chosen(engine: Engine, filters: Filters, everything: bool, keep: int) -> list[Image]:
    """What the filters leave to be removed, newest first, whether or not something uses it."""
    filters_.until(filters)  # one at most
    rest = {name: values for name, values in filters.items() if name in ("label", "label!", "until")}
    images = [engine.images.of(row) for row in rows.list_(engine.database)]
    kept = _newest(images, keep)
    oldest_use = min((clock.now() - _length(text) for text in filters.get("unused-for", ())), default=None)
    return [
        image
        for image in chosen_by(engine, images, rest)
        if (everything or not image.names)
        and image.id not in kept
        and (oldest_use is None or image.used_at < oldest_use)
    ]


def _newest(images: list[Image], keep: int) -> set[str]:
    """The ids of the `keep` newest images of each repository; an image of several counts in each."""
    repositories: dict[str, list[str]] = {}
    for image in sorted(images, key=lambda one: (-one.created_at, -one.tagged_at, one.id)):
        for name in {reference.parse(row.name).name for row in image.names}:
            repositories.setdefault(name, []).append(image.id)
    return {image_id for ids in repositories.values() for image_id in ids[:keep]}


def _count(filters: Filters) -> int:
    values = filters.get("keep", ())
    if any(not value.isascii() or not value.isdigit() or len(value) > 18 for value in values):
        raise InvalidParameter(f"invalid filter 'keep={list(values)}'")
    return max((int(value) for value in values), default=0)


def _length(text: str) -> int:
    """A Go duration, or whole days or weeks: 36h, 90d, 4w."""
    number, unit = text[:-1], text[-1:]
    if unit in ("d", "w") and number.isascii() and number.isdigit() and len(number) < 6:
        return int(number) * (1 if unit == "d" else 7) * 24 * 3600 * clock.SECOND
    return clock.duration(text)

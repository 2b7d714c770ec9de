"""`docker images`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from onggi.engine import clock
from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.images.manifests import summaries, target
from onggi.errors import Corrupt, NoSuchImage
from onggi.images.images import Image
from onggi.images.indexes import group, led_by_another, size, target_of
from onggi.images.resolve import resolve
from onggi.spec import reference as references
from onggi.store import containers
from onggi.store import images as rows
from onggi.wire.images import ImageManifestSummary, ImageSummary, OCIDescriptor

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset({"dangling", "label", "label!", "before", "since", "reference", "until"})


async def list_(
    engine: Engine,
    filters: Filters,
    *,
    everything: bool = False,
    shared_size: bool = False,
    manifests: bool = False,
) -> list[ImageSummary]:
    """Newest first; images that only serve as parents with `everything`. The platforms of one name are one.

    Raises InvalidParameter, NoSuchImage.
    """
    filters_.check(filters, FILTERS)
    filters_.truth(filters, "dangling")
    patterns = filters_.Patterns("reference", filters.get("reference", ()))
    return await engine.offload(_list, engine, filters, patterns, everything, shared_size, manifests)


def _list(
    engine: Engine,
    filters: Filters,
    patterns: filters_.Patterns,
    everything: bool,
    shared_size: bool,
    manifests: bool,
) -> list[ImageSummary]:
    images = [engine.images.of(row) for row in rows.list_(engine.database)]
    images = [image for image in images if not led_by_another(image)]
    parents = {image.parent_id for image in images}
    chosen = chosen_by(engine, images, filters)
    sharing = rows.sharing(engine.database) if shared_size else {}
    used = [row.image_id for row in containers.list_(engine.database)]
    found = []
    for image in chosen:
        if not everything and not image.names and image.id in parents:
            continue
        shared = sum(layer.size for layer in image.layers if sharing.get(layer.chain_id, 0) > 1)
        tags, digests = _names(image, patterns)
        if patterns and not tags and not digests:
            continue
        found.append(
            ImageSummary(
                id=image.id,
                parent_id=image.parent_id,
                repo_tags=tags,
                repo_digests=digests,
                created=image.created_at // clock.SECOND,
                size=size(engine.images, image),
                shared_size=shared if shared_size else -1,
                labels=image.config.labels or {},
                containers=sum(map(used.count, group(engine.images, image.id))) if shared_size else -1,
                **_told(engine, image) if manifests else {},
            )
        )
    return found


class _Told(TypedDict, total=False):
    manifests: list[ImageManifestSummary]
    descriptor: OCIDescriptor


def _told(engine: Engine, image: Image) -> _Told:
    """A damaged index must not keep the others from being listed: `system check` names it."""
    try:
        index = target_of(image)
        return {
            "manifests": summaries(engine.images, image, index),
            "descriptor": target(engine.images, image, index),
        }
    except Corrupt:
        return {"manifests": []}


def chosen_by(engine: Engine, images: list[Image], filters: Filters) -> list[Image]:
    """The images that pass every filter but `reference`. Raises InvalidParameter, NoSuchImage."""
    dangling = filters_.truth(filters, "dangling")
    before = [_created(engine, text) for text in filters.get("before", ())]
    before += [filters_.instant(text) for text in filters.get("until", ())]
    since = [_created(engine, text) for text in filters.get("since", ())]
    return [
        image
        for image in images
        if (dangling is None or dangling == (not image.names))
        and filters_.labels_pass(image.config.labels or {}, filters)
        and all(image.created_at < limit for limit in before)
        and all(image.created_at > limit for limit in since)
    ]


def _created(engine: Engine, text: str) -> int:
    image_id = resolve(engine.images, text).id
    image = engine.images.get(image_id)
    if image is None:
        raise NoSuchImage(text)
    return image.created_at


def _names(image: Image, patterns: filters_.Patterns) -> tuple[list[str], list[str]]:
    """Tags and digests, only those that match where `reference` is given."""
    if not patterns:
        return image.repo_tags, image.repo_digests
    return (
        [name for name in image.repo_tags if _matches(name, patterns)],
        [name for name in image.repo_digests if _matches(name, patterns)],
    )


def _matches(name: str, patterns: filters_.Patterns) -> bool:
    """The familiar name, with and without its tag or digest (distribution/reference, FamiliarMatch)."""
    return patterns.match(name) or patterns.match(references.parse(name).familiar_name)

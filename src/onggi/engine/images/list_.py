"""`docker images`."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from onggi.engine import clock
from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.errors import NoSuchImage
from onggi.images.images import Image
from onggi.images.resolve import resolve
from onggi.spec import reference as references
from onggi.store import containers
from onggi.store import images as rows
from onggi.wire.images import ImageSummary

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset({"dangling", "label", "label!", "before", "since", "reference", "until"})


async def list_(
    engine: Engine, filters: Filters, *, everything: bool = False, shared_size: bool = False
) -> list[ImageSummary]:
    """Newest first; images that only serve as parents with `everything`.

    Raises InvalidParameter, NoSuchImage.
    """
    filters_.check(filters, FILTERS)
    filters_.truth(filters, "dangling")
    return await engine.offload(_list, engine, filters, everything, shared_size)


def _list(engine: Engine, filters: Filters, everything: bool, shared_size: bool) -> list[ImageSummary]:
    images = [engine.images.of(row) for row in rows.list_(engine.database)]
    parents = {image.parent_id for image in images}
    chosen = chosen_by(engine, images, filters)
    sharing = rows.sharing(engine.database) if shared_size else {}
    used = [row.image_id for row in containers.list_(engine.database)]
    found = []
    for image in chosen:
        if not everything and not image.names and image.id in parents:
            continue
        shared = sum(layer.size for layer in image.layers if sharing.get(layer.chain_id, 0) > 1)
        tags, digests = _names(image, filters)
        if filters.get("reference") and not tags and not digests:
            continue
        found.append(
            ImageSummary(
                id=image.id,
                parent_id=image.parent_id,
                repo_tags=tags,
                repo_digests=digests,
                created=image.created_at // clock.SECOND,
                size=image.size,
                shared_size=shared if shared_size else -1,
                labels=image.config.labels or {},
                containers=used.count(image.id) if shared_size else -1,
            )
        )
    return found


def chosen_by(engine: Engine, images: list[Image], filters: Filters) -> list[Image]:
    """The images that pass every filter but `reference`. Raises InvalidParameter, NoSuchImage."""
    dangling = filters_.truth(filters, "dangling")
    before = [_created(engine, text) for text in filters.get("before", ())]
    before += [clock.parse_instant(text) for text in filters.get("until", ())]
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


def _names(image: Image, filters: Filters) -> tuple[list[str], list[str]]:
    """Tags and digests, only those that match where `reference` is given."""
    patterns = filters.get("reference", ())
    if not patterns:
        return image.repo_tags, image.repo_digests
    return (
        [name for name in image.repo_tags if any(_matches(name, p) for p in patterns)],
        [name for name in image.repo_digests if any(_matches(name, p) for p in patterns)],
    )


def _matches(name: str, pattern: str) -> bool:
    """path.Match of the familiar name, with and without its tag; `*` does not pass a slash."""
    named = references.parse(name)
    return any(
        text.count("/") == pattern.count("/")
        and all(map(fnmatch.fnmatchcase, text.split("/"), pattern.split("/")))
        for text in (name, named.familiar_name, str(named), named.name)
    )

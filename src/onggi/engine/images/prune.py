"""`docker image prune`: images that nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import filters as filters_
from onggi.engine.filters import Filters
from onggi.engine.images.list_ import chosen_by
from onggi.engine.images.remove import told
from onggi.images.images import Image
from onggi.images.remove import Removed, delete_unused
from onggi.store import containers
from onggi.store import images as rows
from onggi.wire.images import ImageDeleteResponseItem, ImagePruneResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FILTERS = frozenset({"dangling", "label", "label!", "until"})


async def prune(engine: Engine, filters: Filters) -> ImagePruneResponse:
    """Untagged images, or with `dangling=false` all that no container uses. Raises InvalidParameter."""
    filters_.check(filters, FILTERS)
    everything = filters_.truth(filters, "dangling") is False
    deleted: list[ImageDeleteResponseItem] = []
    freed = 0
    for removed in await engine.offload(_prune, engine, filters, everything):
        deleted += told(engine, removed)
        freed += removed.freed
    engine.events.emit("image", "prune", "", {"reclaimed": str(freed)})
    return ImagePruneResponse(images_deleted=deleted or None, space_reclaimed=freed)


def _prune(engine: Engine, filters: Filters, everything: bool) -> list[Removed]:
    done = []
    rest = {name: values for name, values in filters.items() if name != "dangling"}
    with engine.images.lock:
        images = [engine.images.of(row) for row in rows.list_(engine.database)]
        for image in chosen_by(engine, images, rest):
            if _unused(engine, image, everything):
                done.append(delete_unused(engine.images, image.id))
                failpoints.hit("prune.deleted")
    return done


def _unused(engine: Engine, image: Image, everything: bool) -> bool:
    if image.names and not everything:
        return False
    children = rows.children(engine.database, image.id)
    return not children and not containers.using_image(engine.database, image.id)

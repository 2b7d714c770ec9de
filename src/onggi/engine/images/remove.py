"""`docker rmi`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onggi.images import remove as removing
from onggi.spec import platform as platforms
from onggi.wire.images import ImageDeleteResponseItem

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def remove(
    engine: Engine,
    name: str,
    *,
    force: bool = False,
    noprune: bool = False,
    platform: Sequence[str] = (),
) -> list[ImageDeleteResponseItem]:
    """What was untagged and deleted, in order; only those platforms (JSON) where some are given.

    Raises NoSuchImage, NotFound, InvalidParameter, Conflict.
    """
    wanted = [platforms.parse_json(text) for text in platform]
    running = {container.id for container in engine.containers.all() if container.running}
    if wanted:
        done = await engine.offload(
            removing.remove_platforms, engine.images, name, wanted, running, force=force
        )
        return told(engine, done)
    removed = await engine.offload(
        removing.remove, engine.images, name, running, force=force, noprune=noprune
    )
    return told(engine, removed)


def told(engine: Engine, removed: removing.Removed) -> list[ImageDeleteResponseItem]:
    """The answer's lines, with their events; layers are in the answer but have no event."""
    items = []
    for untagged, deleted in removed.lines:
        items.append(ImageDeleteResponseItem(untagged=untagged, deleted=deleted))
        if untagged:
            engine.events.emit("image", "untag", removed.image_id, {"name": untagged})
        elif deleted in removed.images:
            engine.events.emit("image", "delete", deleted, {"name": deleted})
    return items

"""`docker tag`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.images import tag as tagging

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def tag(engine: Engine, name: str, repository: str, tag_: str = "") -> None:
    """Another name for an image. Raises NoSuchImage, InvalidParameter."""
    target = tagging.target(repository, tag_)
    image = await engine.offload(tagging.tag, engine.images, name, target)
    engine.events.emit("image", "tag", image.id, {**(image.config.labels or {}), "name": target.familiar})

"""How much disk a container takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


def sizes(engine: Engine, record: ContainerRecord) -> tuple[int, int]:
    """Bytes of the writable layer alone, and together with the image below it. Blocking."""
    own = engine.snapshots.usage(record.snapshot).bytes if record.snapshot else 0
    return own, own + image_bytes(engine, record.image_id)


def image_bytes(engine: Engine, image_id: str) -> int:
    """Bytes of an image's layers; 0 for an image that is gone."""
    image = engine.images.get(image_id)
    return image.size if image is not None else 0

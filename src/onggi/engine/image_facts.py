"""What a container takes from its image: the configuration in the Engine API's form, and the top snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.images.images import Image
from onggi.images.resolve import runnable
from onggi.spec import platform as platforms
from onggi.wire import base
from onggi.wire.images import ImageConfig

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`snapshot` is the key of the committed top layer ("" for an image without layers)."""

    id: str
    config: ImageConfig
    snapshot: str
    os: str = "linux"


async def resolve(engine: Engine, reference: str, platform: str = "") -> ImageFacts:
    """The image of a name, an id or a prefix of one. Raises NoSuchImage, NotFound, InvalidParameter."""
    wanted = platforms.parse(platform) if platform else None
    return facts(await engine.offload(runnable, engine.images, reference, wanted))


def facts(image: Image) -> ImageFacts:
    """The same out of an image that was resolved."""
    document = msgspec.to_builtins(image.config)
    return ImageFacts(
        id=image.id,
        config=base.convert(ImageConfig, document),
        snapshot=image.top,
        os=image.document.os or "linux",
    )

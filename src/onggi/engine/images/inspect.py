"""`docker image inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from onggi.engine import clock
from onggi.images.images import Image
from onggi.images.resolve import resolve
from onggi.spec import platform as platforms
from onggi.wire.base import decode
from onggi.wire.images import DriverData, ImageConfig, ImageInspect, ImageInspectMetadata, ImageInspectRootFS

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, name: str, *, platform: str = "") -> ImageInspect:
    """Everything about one image; `platform` is JSON. Raises NoSuchImage, NotFound, InvalidParameter."""
    wanted = platforms.parse_json(platform) if platform else None
    return await engine.offload(_inspect, engine, name, wanted)


def _inspect(engine: Engine, name: str, wanted: platforms.Platform | None) -> ImageInspect:
    image = resolve(engine.images, name, wanted)
    document = image.document
    tagged = clock.rfc3339(image.tagged_at)
    return ImageInspect(
        id=image.id,
        repo_tags=image.repo_tags,
        repo_digests=image.repo_digests,
        comment=document.comment or "",
        created=document.created or clock.GO_ZERO,
        author=document.author or "",
        config=config_of(image),
        architecture=document.architecture,
        variant=document.variant or UNSET,
        os=document.os,
        os_version=document.os_version or UNSET,
        size=image.size,
        graph_driver=DriverData(
            name=engine.snapshots.driver, data=engine.snapshots.data(image.top) if image.top else {}
        ),
        root_fs=ImageInspectRootFS(type="layers", layers=list(document.rootfs.diff_ids)),
        metadata=ImageInspectMetadata(last_tag_time=tagged),
    )


def config_of(image: Image) -> ImageConfig:
    """An image's configuration as the API shows it."""
    return decode(ImageConfig, msgspec.json.encode(image.config))

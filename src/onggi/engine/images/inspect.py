"""`docker image inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from onggi.engine import clock
from onggi.engine.images.manifests import summaries, target
from onggi.errors import InvalidParameter
from onggi.images.images import Image
from onggi.images.indexes import size, target_of
from onggi.images.resolve import named_row, resolve
from onggi.spec import platform as platforms
from onggi.wire.base import decode
from onggi.wire.images import DriverData, ImageConfig, ImageInspect, ImageInspectMetadata, ImageInspectRootFS

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, name: str, *, platform: str = "", manifests: bool = False) -> ImageInspect:
    """Everything about one image; `platform` is JSON. With `manifests` all platforms that its index names.

    Raises NoSuchImage, NotFound, InvalidParameter.
    """
    wanted = platforms.parse_json(platform) if platform else None
    if wanted is not None and manifests:
        raise InvalidParameter("conflicting options: manifests and platform options cannot both be set")
    return await engine.offload(_inspect, engine, name, wanted, manifests)


def _inspect(engine: Engine, name: str, wanted: platforms.Platform | None, manifests: bool) -> ImageInspect:
    image = resolve(engine.images, name, wanted)
    row = named_row(engine.images, name)
    index = row.target if row is not None else target_of(image)
    document = image.document
    tagged = clock.rfc3339(image.tagged_at)
    return ImageInspect(
        id=image.id,
        descriptor=target(engine.images, image, "" if wanted else index),
        manifests=summaries(engine.images, image, index) if manifests else UNSET,
        repo_tags=image.repo_tags,
        repo_digests=image.repo_digests,
        parent=image.parent_id,
        comment=document.comment or "",
        created=document.created or clock.GO_ZERO,
        author=document.author or "",
        config=config_of(image),
        architecture=document.architecture,
        variant=document.variant or UNSET,
        os=document.os,
        os_version=document.os_version or UNSET,
        size=size(engine.images, image),
        graph_driver=DriverData(
            name=engine.snapshots.driver, data=engine.snapshots.data(image.top) if image.top else {}
        ),
        root_fs=ImageInspectRootFS(type="layers", layers=list(document.rootfs.diff_ids)),
        metadata=ImageInspectMetadata(last_tag_time=tagged),
    )


def config_of(image: Image) -> ImageConfig:
    """An image's configuration as the API shows it."""
    return decode(ImageConfig, msgspec.json.encode(image.config))

"""Where the disk went: images, containers, volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine.containers.list_ import list_ as list_containers
from onggi.engine.images.list_ import list_ as list_images
from onggi.engine.volumes.record import all_, shown, users
from onggi.errors import InvalidParameter
from onggi.volumes import local
from onggi.wire.system import DiskUsage
from onggi.wire.volumes import Volume, VolumeUsageData

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

KINDS = frozenset({"container", "image", "volume", "build-cache"})


async def df(engine: Engine, *, kinds: frozenset[str] = frozenset()) -> DiskUsage:
    """Disk use of the kinds that are asked for, of all without any. Raises InvalidParameter."""
    for kind in kinds - KINDS:
        raise InvalidParameter(f"unknown object type: {kind}")
    wanted = kinds or KINDS
    return DiskUsage(
        layers_size=await engine.offload(_layers_bytes, engine) if "image" in wanted else 0,
        images=await list_images(engine, {}, shared_size=True) if "image" in wanted else None,
        containers=await list_containers(engine, {}, everything=True, size=True)
        if "container" in wanted
        else None,
        volumes=await engine.offload(_volumes, engine) if "volume" in wanted else None,
        build_cache=[] if "build-cache" in wanted else None,
    )


def _layers_bytes(engine: Engine) -> int:
    """Unpacked layers, each once."""
    row = engine.database.one("SELECT coalesce(sum(size), 0) FROM layers")
    return int(row[0]) if row is not None else 0


def _volumes(engine: Engine) -> list[Volume]:
    return [
        msgspec.structs.replace(
            shown(engine, record),
            usage_data=VolumeUsageData(
                size=local.usage_bytes(engine.paths.volume_data(record.name)),
                ref_count=len(users(engine, record.name)),
            ),
        )
        for record in all_(engine)
    ]

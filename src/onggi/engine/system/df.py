"""Where the disk went: images, containers, volumes. Sizes are what disk.py finds; they add up to `du`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from onggi.engine.containers.list_ import list_ as list_containers
from onggi.engine.images.list_ import list_ as list_images
from onggi.engine.system import disk as disks
from onggi.engine.system.disk import Disk
from onggi.engine.volumes.record import VolumeRecord, all_, shown, users
from onggi.errors import InvalidParameter
from onggi.wire.containers import ContainerSummary
from onggi.wire.images import ImageSummary
from onggi.wire.system import DiskUsage
from onggi.wire.volumes import Volume, VolumeUsageData

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

KINDS = frozenset({"container", "image", "volume", "build-cache"})


class Usage(NamedTuple):
    """`usage.layers_size` is all that is no container's and no volume's, the build cache's part too: who
    knows that one takes it off. `free_bytes`: what only images without a container have.
    """

    usage: DiskUsage
    disk: Disk
    free_bytes: int


async def df(engine: Engine, *, kinds: frozenset[str] = frozenset()) -> Usage:
    """Disk use of the kinds that are asked for, of all without any. Raises InvalidParameter."""
    for kind in sorted(kinds - KINDS):
        raise InvalidParameter(f"unknown object type: {kind}")
    wanted = kinds or KINDS
    disk = await engine.offload(disks.measure, engine)
    containers = await list_containers(engine, {}, everything=True)
    sized = [_container(engine, disk, one) for one in containers]
    # as in Docker, and as prune leaves them: what a volume with options names is not on this disk
    volumes = [_volume(engine, disk, record) for record in all_(engine) if not record.options]
    images = await list_images(engine, {}, shared_size=True) if "image" in wanted else None
    free, rest = 0, 0
    if images is not None:
        images, free = await engine.offload(_images, engine, disk, images)
        rest = disk.total - sum(one.size_rw or 0 for one in sized) - sum(map(_size, volumes))
    usage = DiskUsage(
        layers_size=max(rest, 0),
        images=images,
        containers=sized if "container" in wanted else None,
        volumes=volumes if "volume" in wanted else None,
        build_cache=[] if "build-cache" in wanted else None,
    )
    return Usage(usage, disk, free)


def _container(engine: Engine, disk: Disk, one: ContainerSummary) -> ContainerSummary:
    """SizeRw is all that goes with the container, SizeRootFs with the layers that it stands on."""
    container = engine.containers.find(one.id)
    own = disk.containers.get(one.id, 0) + disk.snapshots.get(one.id, 0)
    number = len(container.record.mounts) if container is not None else 0
    own += sum(disk.snapshots.get(f"{one.id}-mount-{index}", 0) for index in range(number))
    image = engine.images.get(one.image_id)
    below = sum(disk.snapshots.get(layer.chain_id, 0) for layer in image.layers) if image is not None else 0
    return msgspec.structs.replace(one, size_rw=own, size_root_fs=own + below)


def _volume(engine: Engine, disk: Disk, record: VolumeRecord) -> Volume:
    data = VolumeUsageData(size=disk.volumes.get(record.name, 0), ref_count=len(users(engine, record.name)))
    return msgspec.structs.replace(shown(engine, record), usage_data=data)


def _size(volume: Volume) -> int:
    return volume.usage_data.size if volume.usage_data is not None else 0


def _images(engine: Engine, disk: Disk, images: list[ImageSummary]) -> tuple[list[ImageSummary], int]:
    """Each with what its layers and blobs take, and what would be free without those that no container has.

    Blocking.
    """
    parts = {image_id: _parts(engine, disk, image_id) for image_id in _all_images(engine)}
    owners = Counter(name for sizes in parts.values() for name in sizes)
    used: dict[str, int] = {}
    every: dict[str, int] = {}
    for sizes in parts.values():
        every |= sizes
    found = []
    for image in images:
        sizes = parts.get(image.id, {})
        if image.containers:
            used |= sizes
        shared = sum(size for name, size in sizes.items() if owners[name] > 1)
        found.append(msgspec.structs.replace(image, size=sum(sizes.values()), shared_size=shared))
    return found, sum(every.values()) - sum(used.values())


def _all_images(engine: Engine) -> list[str]:
    return [str(row[0]) for row in engine.database.read("SELECT id FROM images")]


def _parts(engine: Engine, disk: Disk, image_id: str) -> dict[str, int]:
    """Bytes of an image's layers, by chain id, and blobs, by digest (as `blob DIGEST`)."""
    layers = engine.database.read("SELECT chain_id FROM stacks WHERE image_id = ?", image_id)
    blobs = engine.database.read("SELECT digest FROM blobs WHERE image_id = ?", image_id)
    found = {str(row[0]): disk.snapshots.get(row[0], 0) for row in layers}
    return found | {f"blob {row[0]}": disk.blobs.get(row[0], 0) for row in blobs}

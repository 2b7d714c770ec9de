"""The volumes of a container: made where they lack, filled from the image on first use, removed with `rm -v`.

A new volume gets what the image has at its mount point, with owners, modes and times (copy-up), unless the
mount says nocopy. Not here: rows and directories of volumes (engine/volumes/), how one is filled so that a
crash leaves no half (volumes/filling.py).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.containers import init_layer
from onggi.engine.record import ContainerRecord, MountRecord
from onggi.engine.volumes import mounted
from onggi.engine.volumes.create import create
from onggi.engine.volumes.record import ANONYMOUS_LABEL, users
from onggi.images import view
from onggi.kernel.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from onggi.store import volumes as rows
from onggi.store.trash import delete_tree
from onggi.volumes import copying, filling, local, mounting
from onggi.wire.containers import Mount
from onggi.wire.volumes import VolumeCreateRequest

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


async def make(engine: Engine, record: ContainerRecord) -> tuple[MountRecord, ...]:
    """Make every volume that the record names, and return its mounts with their sources filled in.

    Raises InvalidParameter, NotFound (an unknown driver), System, OSError.
    """
    asked = {mount.target: mount for mount in record.host_config.mounts if mount.type == "volume"}
    found = []
    for mount in record.mounts:
        if mount.type == "volume":
            mount = await _make_one(engine, record, mount, asked.get(mount.target))
        found.append(mount)
    return tuple(found)


async def _make_one(
    engine: Engine, record: ContainerRecord, mount: MountRecord, asked: Mount | None
) -> MountRecord:
    options = asked.volume_options if asked else None
    driver = options.driver_config if options else None
    request = VolumeCreateRequest(
        name=mount.name,
        driver=driver.name if driver else record.host_config.volume_driver,
        driver_opts=driver.options if driver else {},
        labels={**(options.labels if options else {}), **({ANONYMOUS_LABEL: ""} if mount.anonymous else {})},
    )
    volume = await create(engine, request)
    is_mount = mounting.is_mount(volume.options)
    if not mount.no_copy:
        async with mounted.held(engine, mount.name, record.id), engine.volumes.lock(mount.name):
            await engine.offload(_copy_up, engine, record, mount, is_mount=is_mount)
    return msgspec.structs.replace(mount, source=volume.mountpoint, mounted=is_mount)


def _copy_up(engine: Engine, record: ContainerRecord, mount: MountRecord, *, is_mount: bool) -> None:
    """Fill an empty volume, or its empty subpath, with what the image has at the target. Blocking."""
    data_fd = _open(engine.paths.volume_data(mount.name), mount.subpath)
    if data_fd is None:
        return
    try:
        if not filling.is_empty(data_fd):
            return
        root_fd = view.open_root(init_layer.mounts(engine, record))
        try:
            source_fd = _directory(root_fd, mount.target.lstrip("/"))
        finally:
            os.close(root_fd)
        if source_fd is None:
            return
        layers = _layers(engine, record, mount.target)
        try:
            if is_mount or mount.subpath:
                copying.copy(source_fd, data_fd, layers=layers)
            else:
                filling.fill(engine.paths, mount.name, lambda fd: copying.copy(source_fd, fd, layers=layers))
        finally:
            for fd in (source_fd, *layers):
                os.close(fd)
    finally:
        os.close(data_fd)


def _layers(engine: Engine, record: ContainerRecord, target: str) -> list[int]:
    """The directory in each layer, from the top; where the way leads through links there is none."""
    data = engine.snapshots.data(record.snapshot)
    found = []
    for place in filter(None, [data.get("UpperDir", ""), *data.get("LowerDir", "").split(":")]):
        top_fd = os.open(place, _DIRECTORY)
        try:
            fd = _directory(top_fd, target.lstrip("/"))
        finally:
            os.close(top_fd)
        if fd is not None:
            found.append(fd)
    return found


def _open(data: str, subpath: str) -> int | None:
    """A directory of a volume with no link followed out of it; None where there is none."""
    top_fd = os.open(data, _DIRECTORY | os.O_NOFOLLOW)
    if not subpath:
        return top_fd
    try:
        return _directory(top_fd, subpath)
    finally:
        os.close(top_fd)


def _directory(top_fd: int, path: str) -> int | None:
    """What is below a directory and in it; None where there is none: the start tells of that."""
    try:
        return openat2(top_fd, path, _DIRECTORY, resolve=_RESOLVE)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None


async def remove_anonymous(engine: Engine, record: ContainerRecord) -> None:
    """Remove the volumes that were made for this container alone and that no other one mounts."""
    for mount in record.mounts:
        if not mount.anonymous or set(users(engine, mount.name)) - {record.id}:
            continue
        async with engine.volumes.lock(mount.name):
            rows.delete(engine.database, mount.name)
            away = local.move_away(engine.paths, mount.name)
        engine.events.emit("volume", "destroy", mount.name, {"driver": "local"})
        if away is not None:
            await engine.offload(delete_tree, away)

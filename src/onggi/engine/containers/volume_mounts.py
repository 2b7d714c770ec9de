"""The volumes of a container: made where they lack, filled from the image on first use, removed with `rm -v`.

A new volume gets what the image has at its mount point, with owners, modes and times (copy-up), unless the
mount says nocopy. Not here: rows and directories of volumes (engine/volumes/), how one is filled so that a
crash leaves no half (volumes/filling.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.record import ContainerRecord, MountRecord
from onggi.engine.volumes import mounted
from onggi.engine.volumes.create import create
from onggi.engine.volumes.record import ANONYMOUS_LABEL, users
from onggi.images import view
from onggi.kernel.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from onggi.store import volumes as rows
from onggi.store.trash import delete_tree
from onggi.volumes import copying, filling, local
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
        labels={ANONYMOUS_LABEL: ""} if mount.anonymous else (options.labels if options else {}),
    )
    volume = await create(engine, request)
    if not mount.no_copy:
        async with mounted.held(engine, mount.name, record.id), engine.volumes.lock(mount.name):
            await engine.offload(_copy_up, engine, record, mount, is_mount=bool(volume.options))
    return msgspec.structs.replace(mount, source=volume.mountpoint, mounted=bool(volume.options))


def _copy_up(engine: Engine, record: ContainerRecord, mount: MountRecord, *, is_mount: bool) -> None:
    """Fill an empty volume, or its empty subpath, with what the image has at the target. Blocking."""
    data_fd = _open(engine.paths.volume_data(mount.name), mount.subpath)
    if data_fd is None:
        return
    try:
        if not filling.is_empty(data_fd):
            return
        root_fd = view.open_root(engine.snapshots.mounts(record.snapshot))
        try:
            source_fd = openat2(root_fd, mount.target.lstrip("/"), _DIRECTORY, resolve=_RESOLVE)
        except (FileNotFoundError, NotADirectoryError):
            return
        finally:
            os.close(root_fd)
        try:
            if is_mount or mount.subpath:
                copying.copy(source_fd, data_fd)
            else:
                filling.fill(engine.paths, mount.name, lambda fd: copying.copy(source_fd, fd))
        finally:
            os.close(source_fd)
    finally:
        os.close(data_fd)


def _open(data: str, subpath: str) -> int | None:
    """A directory of a volume with no link followed out of it; None where there is none."""
    top_fd = os.open(data, _DIRECTORY | os.O_NOFOLLOW)
    if not subpath:
        return top_fd
    try:
        return openat2(top_fd, subpath, _DIRECTORY, resolve=_RESOLVE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    finally:
        os.close(top_fd)


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

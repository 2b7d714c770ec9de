"""The volumes of a container: made where they lack, filled from the image on first use, removed with `rm -v`.

A new volume gets what the image has at its mount point, with owners, modes and times (copy-up), unless the
mount says nocopy. Not here: rows and directories of volumes (engine/volumes/).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from onggi.engine import copy_up
from onggi.engine.record import ContainerRecord, MountRecord
from onggi.engine.volumes.create import create
from onggi.engine.volumes.record import ANONYMOUS_LABEL, users
from onggi.errors import InvalidParameter
from onggi.images import view
from onggi.kernel.files import RESOLVE_IN_ROOT, openat2
from onggi.store import volumes as rows
from onggi.store.trash import delete_tree
from onggi.volumes import local
from onggi.wire.containers import Mount
from onggi.wire.volumes import VolumeCreateRequest

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def make(engine: Engine, record: ContainerRecord) -> tuple[MountRecord, ...]:
    """Make every volume that the record names, and return its mounts with their sources filled in.

    Raises InvalidParameter, NotFound (an unknown driver or subpath), OSError.
    """
    asked = {mount.target: mount for mount in record.host_config.mounts if mount.type == "volume"}
    found = []
    for mount in record.mounts:
        if mount.type == "volume" and not mount.source:
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
        await engine.offload(_copy_up, engine, record, mount.target, volume.mountpoint)
    source = volume.mountpoint
    if mount.subpath:
        source = await engine.offload(_subpath, source, mount.subpath)
    return msgspec.structs.replace(mount, source=source)


def _subpath(top: str, subpath: str) -> str:
    """A directory below a volume, with no link followed out of it. Raises InvalidParameter."""
    top_fd = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = openat2(top_fd, subpath, os.O_PATH | os.O_CLOEXEC, resolve=RESOLVE_IN_ROOT)
    except OSError as error:
        raise InvalidParameter(
            f"cannot access path {top}/{subpath}: {(error.strerror or 'error').lower()}"
        ) from None
    finally:
        os.close(top_fd)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _copy_up(engine: Engine, record: ContainerRecord, target: str, data: str) -> None:
    """Fill an empty volume with what the image has at `target`. Blocking."""
    with os.scandir(data) as entries:
        if next(entries, None) is not None:
            return
    root_fd = view.open_root(engine.snapshots.mounts(record.snapshot))
    try:
        try:
            source_fd = openat2(
                root_fd,
                target.lstrip("/"),
                os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC,
                resolve=RESOLVE_IN_ROOT,
            )
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            copy_up.copy(source_fd, data)
        finally:
            os.close(source_fd)
    finally:
        os.close(root_fd)


async def remove_anonymous(engine: Engine, record: ContainerRecord) -> None:
    """Remove the volumes that were made for this container alone and that no other one mounts."""
    for mount in record.mounts:
        if not mount.anonymous or set(users(engine, mount.name)) - {record.id}:
            continue
        rows.delete(engine.database, mount.name)
        away = local.move_away(engine.paths, mount.name)
        engine.events.emit("volume", "destroy", mount.name, {"driver": "local"})
        if away is not None:
            await engine.offload(delete_tree, away)

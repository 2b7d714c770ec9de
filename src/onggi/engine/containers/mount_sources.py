"""What is mounted in a container, when it starts or is looked into: records become sources that are there.

    containers/ID/mounts/N/upper, work      what the container changed in its N-th mount, where that mount is
                                            copy-on-write; goes with the container
    snapshot ID-mount-N                     an image mount: it keeps the image's layers, and takes the changes

Blocking. Not here: the words (mount_words.py, mount_specs.py), volumes (volume_mounts.py), the document
(oci/mounts.py).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.containers import idmaps, propagation
from onggi.engine.oci.mounts import Shown
from onggi.engine.userns.maps import IdMaps, compose
from onggi.errors import InvalidParameter
from onggi.images import collect
from onggi.kernel.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord, MountRecord


def make_image_mounts(engine: Engine, record: ContainerRecord) -> None:
    """A snapshot for each image mount. Raises Conflict, NotFound (the image has gone meanwhile)."""
    for number, mount in enumerate(record.mounts):
        if mount.type == "image":
            engine.snapshots.create(
                _key(record, number), mount.image_top, "container", project=engine.quotas.project(record.id)
            )


def remove_image_mounts(engine: Engine, record: ContainerRecord) -> None:
    """Take them away; gone already is no fault."""
    for number, mount in enumerate(record.mounts):
        if mount.type == "image":
            engine.snapshots.remove(_key(record, number))
            collect.collect_after(engine.images, mount.image_id)


def shown(
    engine: Engine, record: ContainerRecord, user: tuple[int, int] = (0, 0), *, writable: bool = True
) -> tuple[Shown, ...]:
    """Every mount with its sources; `user` is what the container runs as, for idmap.

    Not `writable`, overlays are put together without a place for changes, so that any number may look.
    Raises InvalidParameter, System, OSError.
    """
    return tuple(_one(engine, record, number, user, writable) for number in range(len(record.mounts)))


def _one(
    engine: Engine, record: ContainerRecord, number: int, user: tuple[int, int], writable: bool
) -> Shown:
    mount = (
        propagation.settled(record.mounts[number], engine.paths.root) if writable else record.mounts[number]
    )
    if mount.type == "image":
        key = _key(record, number)
        ((source, _, fstype, _, data, *_),) = (
            engine.snapshots.mounts(key) if writable else engine.snapshots.view(key)
        )
        shown = Shown(record=mount, layers=data) if fstype == "overlay" else Shown(record=mount, tree=source)
        return _owned(shown, record.id_maps)
    if mount.overlay and not mount.read_only:
        made = _copy_on_write(engine, record, number, writable)
        return _owned(made, record.id_maps) if mount.type == "volume" else made
    if mount.idmap:
        facts = _stat(mount)
        maps = idmaps.mappings(idmaps.parse(mount.idmap), (facts.st_uid, facts.st_gid), user)
        if record.id_maps is not None:
            maps = compose(maps[0], record.id_maps.uids), compose(maps[1], record.id_maps.gids)
        return Shown(record=mount, uid_map=maps[0], gid_map=maps[1])
    if mount.subpath:
        _find_subpath(mount)
    return _owned(Shown(record=mount), record.id_maps) if mount.type == "volume" else Shown(record=mount)


def _owned(shown: Shown, maps: IdMaps | None) -> Shown:
    """What is the engine's has on disk the ids that containers see; a bind has the host's, and keeps them."""
    if maps is None:
        return shown
    return msgspec.structs.replace(shown, uid_map=maps.uids, gid_map=maps.gids)


def _find_subpath(mount: MountRecord) -> None:
    """Is it there? What is mounted is looked up again by who mounts it (spawn/inside.py, clone_of)."""
    top_fd = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(openat2(top_fd, mount.subpath, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
    except OSError as error:
        raise InvalidParameter(
            f"cannot access path {mount.source}/{mount.subpath}: {(error.strerror or 'error').lower()}"
        ) from None
    finally:
        os.close(top_fd)


def _key(record: ContainerRecord, number: int) -> str:
    return f"{record.id}-mount-{number}"


def _stat(mount: MountRecord) -> os.stat_result:
    try:
        return os.stat(mount.source)
    except OSError as error:
        raise InvalidParameter(
            f'invalid mount config for type "{mount.type}": stat {mount.source}: '
            f"{(error.strerror or 'error').lower()}"
        ) from None


def _copy_on_write(engine: Engine, record: ContainerRecord, number: int, writable: bool) -> Shown:
    mount = record.mounts[number]
    facts = _stat(mount)
    if not stat.S_ISDIR(facts.st_mode):
        raise InvalidParameter(
            f'invalid mount config for type "{mount.type}": copy-on-write needs a directory: {mount.source}'
        )
    directory = f"{engine.paths.container_dir(record.id)}/mounts/{number}"
    if not os.path.isdir(directory):
        os.makedirs(directory, 0o700)
        engine.quotas.put(record.id, directory)
    _scratch(directory, facts)
    upper, lower = _escaped(f"{directory}/upper"), _escaped(mount.source)
    options = engine.snapshots.overlay_options
    if not writable:
        return Shown(record=mount, layers=f"lowerdir={upper}:{lower},{options}")
    work = _escaped(f"{directory}/work")
    return Shown(record=mount, layers=f"lowerdir={lower},upperdir={upper},workdir={work},{options}")


def _scratch(directory: str, below: os.stat_result) -> None:
    """The writable part of an overlay; its root looks like the root that it lies upon."""
    if not os.path.isdir(f"{directory}/upper"):
        os.makedirs(f"{directory}/work", 0o700, exist_ok=True)
        made = f"{directory}/upper.new"  # under its name only when it is whole
        os.makedirs(made, 0o700, exist_ok=True)
        os.chown(made, below.st_uid, below.st_gid)
        os.chmod(made, stat.S_IMODE(below.st_mode))
        os.rename(made, f"{directory}/upper")


def _escaped(path: str) -> str:
    """A path as an option of overlayfs."""
    return "".join(f"\\{char}" if char in "\\,:" else char for char in path)

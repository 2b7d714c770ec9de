"""Mounts of a container: Docker's default ones, and those that the user asked for.

The user's are sorted by depth, so that `-v x:/a/b` lies upon `-v y:/a` whatever their order; a mount that the
user places on a default mount's target takes that one's place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from onggi.engine.record import MountRecord
from onggi.engine.userns.maps import IdMaps
from onggi.runtime.compile.mounts import KEEP
from onggi.spawn.plan import SUBDIR
from onggi.wire.containers import HostConfig

WRITABLE = frozenset({"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"})


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A mount that the user or the image asked for, with what containers/mount_sources.py found for it."""

    record: MountRecord
    layers: str = ""  # overlay's options, where several directories are shown as one
    tree: str = ""  # the one directory that an image is, where nothing is written to it
    uid_map: tuple[tuple[int, int, int], ...] = ()  # (on disk, for the kernel, how many)
    gid_map: tuple[tuple[int, int, int], ...] = ()

    @property
    def target(self) -> str:
        return self.record.target


def default_mounts(
    host: HostConfig, *, writable_cgroups: bool, tty_group: bool = True
) -> list[dict[str, Any]]:
    """/proc, /dev and their like, as Docker's default OCI document has them.

    `tty_group`: there is a group 5 inside, whose terminals are.
    """
    sys_mode = "rw" if host.privileged else "ro"
    cgroup_mode = "rw" if host.privileged or writable_cgroups else "ro"
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts",
            "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
            *(["gid=5"] if tty_group else []),
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", sys_mode),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", cgroup_mode, "nosuid", "noexec", "nodev"),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    ]  # fmt: skip


def read_only(defaults: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With --read-only: the default mounts but those that programs cannot do without, as Docker has it."""
    return [
        mount
        if mount["destination"] in WRITABLE or "ro" in mount["options"]
        else {**mount, "options": [*(option for option in mount["options"] if option != "rw"), "ro"]}
        for mount in defaults
    ]


def shm_mount(host: HostConfig, shared_path: str) -> list[dict[str, Any]]:
    """/dev/shm: one's own, another's (`shared_path`), the host's, or none."""
    if host.ipc_mode == "none":
        return []
    if host.ipc_mode == "host":
        return [bind("/dev/shm", "/dev/shm")]
    if shared_path:
        return [bind(shared_path, "/dev/shm")]
    size = f"size={host.shm_size}"
    return [_mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", size)]


def user_mounts(mounts: Iterable[Shown]) -> list[dict[str, Any]]:
    """Those of -v, --mount, --tmpfs and VOLUME, shallow ones first."""
    return [_user_mount(mount) for mount in ordered(mounts)]


def ordered(mounts: Iterable[Shown]) -> list[Shown]:
    """Shallow targets first, so that none covers another."""
    return sorted(mounts, key=lambda mount: mount.target.rstrip("/").count("/"))


def combine(defaults: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Default mounts without those whose target the user took, then the user's."""
    taken = {mount["destination"].rstrip("/") for mount in wanted}
    # /dev given by the user takes /dev/pts and /dev/shm with it, as Docker's do.
    gone = taken | {
        m["destination"] for m in defaults if any(_below(m["destination"], t) for t in taken & {"/dev"})
    }
    return [mount for mount in defaults if mount["destination"] not in gone] + wanted


def _below(path: str, top: str) -> bool:
    return path.startswith(top + "/")


def bind(source: str, target: str, *options: str) -> dict[str, Any]:
    return _mount(target, "bind", source, "rbind", "rprivate", *options)


def _mount(target: str, fstype: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": fstype, "source": source, "options": list(options)}


def _user_mount(mount: Shown) -> dict[str, Any]:
    """One of them as the document has it."""
    record = mount.record
    if record.type == "tmpfs":
        options = [*filter(None, record.tmpfs_data.split(","))]
        if record.read_only and "ro" not in options:
            options.append("ro")
        return _mount(record.target, "tmpfs", "tmpfs", *options)
    more = [f"{KEEP}{path}" for path in record.exclude]
    if record.subpath:
        more.append(f"{SUBDIR}{record.subpath}")
    if mount.layers:
        mode = "ro" if record.read_only else "rw"
        return _with_maps(_mount(record.target, "overlay", "overlay", mode, mount.layers, *more), mount)
    options = ["rbind" if record.recursive else "bind", record.propagation or "rprivate"]
    options.append(_access(record))
    return _with_maps(_mount(record.target, "bind", mount.tree or record.source, *options, *more), mount)


def _with_maps(made: dict[str, Any], mount: Shown) -> dict[str, Any]:
    if mount.uid_map:
        made["uidMappings"] = _mappings(mount.uid_map)
        made["gidMappings"] = _mappings(mount.gid_map)
    return made


def mapped(made: dict[str, Any], maps: IdMaps | None) -> dict[str, Any]:
    """A file of the engine's own as the container's root's, where it has a user namespace."""
    if maps is None:
        return made
    return {**made, "uidMappings": _mappings(maps.uids), "gidMappings": _mappings(maps.gids)}


def _access(record: MountRecord) -> str:
    """Read-only means all that is mounted below it too, as Docker has it since 25.0 (mount_setattr(2))."""
    if not record.read_only:
        return "rw"
    return "ro" if record.read_only_top else "rro"


def _mappings(extents: tuple[tuple[int, int, int], ...]) -> list[dict[str, int]]:
    """OCI config.md, "uidMappings" of a mount: containerID is the id on the source's disk."""
    return [{"containerID": disk, "hostID": seen, "size": size} for disk, seen, size in extents]


def propagation(mounts: Iterable[Shown]) -> str:
    """`linux.rootfsPropagation`: a shared or slave bind needs a root that lets it through."""
    wanted = {mount.record.propagation for mount in mounts}
    if wanted & {"shared", "rshared"}:
        return "shared"
    if wanted & {"slave", "rslave"}:
        return "rslave"
    return ""

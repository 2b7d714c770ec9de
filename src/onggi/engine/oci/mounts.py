"""Mounts of a container: Docker's default ones, and those that the user asked for.

The user's are sorted by depth, so that `-v x:/a/b` lies upon `-v y:/a` whatever their order; a mount that the
user places on a default mount's target takes that one's place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onggi.engine.record import MountRecord
from onggi.wire.containers import HostConfig


def default_mounts(host: HostConfig, *, writable_cgroups: bool) -> list[dict[str, Any]]:
    """/proc, /dev and their like, as Docker's default OCI document has them."""
    sys_mode = "rw" if host.privileged else "ro"
    cgroup_mode = "rw" if host.privileged or writable_cgroups else "ro"
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts",
            "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", sys_mode),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", cgroup_mode, "nosuid", "noexec", "nodev"),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    ]  # fmt: skip


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


def user_mounts(records: Iterable[MountRecord]) -> list[dict[str, Any]]:
    """Those of -v, --mount, --tmpfs and VOLUME, shallow ones first."""
    ordered = sorted(records, key=lambda record: record.target.rstrip("/").count("/"))
    return [_user_mount(record) for record in ordered]


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


def _user_mount(record: MountRecord) -> dict[str, Any]:
    if record.type == "tmpfs":
        options = ["noexec", "nosuid", "nodev", *filter(None, record.tmpfs_data.split(","))]
        if record.read_only and "ro" not in options:
            options.append("ro")
        return _mount(record.target, "tmpfs", "tmpfs", *options)
    options = ["rbind" if record.recursive else "bind", record.propagation or "rprivate"]
    options.append("ro" if record.read_only else "rw")
    return _mount(record.target, "bind", record.source, *options)


def propagation(records: Iterable[MountRecord]) -> str:
    """`linux.rootfsPropagation`: a shared or slave bind needs a root that lets it through."""
    wanted = {record.propagation for record in records}
    if wanted & {"shared", "rshared"}:
        return "shared"
    if wanted & {"slave", "rslave"}:
        return "rslave"
    return ""

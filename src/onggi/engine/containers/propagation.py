"""Propagation of binds: what a bind gets that asked for none, and what the host's mount must be for the rest.

Source: moby, daemon/volumes_linux.go (validateBindDaemonRoot) and daemon/oci_linux.go (ensureShared); mount
propagation itself: mount_namespaces(7). Blocking.
"""

from __future__ import annotations

import os

import msgspec

from onggi.engine.record import MountRecord
from onggi.errors import InvalidParameter, System


def chosen(record: MountRecord, root: str) -> MountRecord:
    """Private, where the user chose nothing; but a bind that holds the engine's own directory must let go
    what is unmounted there. Raises InvalidParameter.
    """
    if record.type != "bind":
        return record
    if not _with_root(record, root):
        return msgspec.structs.replace(record, propagation=record.propagation or "rprivate")
    if record.propagation not in ("", "rslave", "rshared"):
        raise InvalidParameter(
            'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source '
            f'is within the daemon root, daemon root: "{root}", bind mount source: "{record.source}", '
            f'propagation: "{record.propagation}"'
        )
    return msgspec.structs.replace(record, propagation=record.propagation or "rslave")


def settled(record: MountRecord, root: str) -> MountRecord:
    """At start: propagation is a fact of the host's mount, and one that is private has none to give.

    Raises System in dockerd's words; a bind of the engine's own directory is private then. A source that is
    not there is left to whoever mounts it.
    """
    if record.propagation in ("", "private", "rprivate"):
        return record
    found = _mount_of(record.source)
    if found is None:
        return record
    place, tags = found
    wants_shared = record.propagation in ("shared", "rshared")
    if "shared" in tags or ("master" in tags and not wants_shared):
        return record
    if not wants_shared and _with_root(record, root):
        return msgspec.structs.replace(record, propagation="rprivate")
    kind = "shared" if wants_shared else "shared or slave"
    raise System(f"path {record.source} is mounted on {place} but it is not a {kind} mount")


def _with_root(record: MountRecord, root: str) -> bool:
    return _within(record.source, root) or _within(root, record.source)


def _within(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _mount_of(path: str) -> tuple[str, set[str]] | None:
    """The mount that a path lies on: (its place, its optional fields); proc_pid_mountinfo(5)."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        with open(f"/proc/self/fdinfo/{fd}") as file:
            number = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
    finally:
        os.close(fd)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            if fields[0] == number:
                return fields[4], {tag.partition(":")[0] for tag in fields[6 : fields.index("-")]}
    return None

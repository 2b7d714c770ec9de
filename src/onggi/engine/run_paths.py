"""The processes of a container's run: its cgroup, where it is, and killing what is in it."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import time
from typing import TYPE_CHECKING

from onggi.engine import runtimes
from onggi.errors import System
from onggi.runtime import cgroups
from onggi.store.atomic import remove as remove_file

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord

CLEAR_SECONDS = 5.0


def cgroup(engine: Engine, record: ContainerRecord) -> str:
    """`<cgroup parent>/<container id>`; --cgroup-parent names another parent."""
    parent = record.host_config.cgroup_parent
    return f"{inside(parent) if parent else engine.config.cgroup_root}/{record.id}"


def inside(parent: str) -> str:
    """A cgroup parent in its plain form: `../../x` is `/x`, never a place above the tops (CVE-2022-0811
    came from such a path). Two dockerds and runc clean it so, too.
    """
    clean = posixpath.normpath("/" + parent.strip("/"))
    return "" if clean == "/" else clean


def group(engine: Engine, record: ContainerRecord) -> cgroups.Cgroup | cgroups.Absent:
    """The processes of a container's run: its cgroup, which need not exist, or what stands for one."""
    if engine.cgroups.mode == "none":
        return cgroups.Absent(record.id, *_init(engine, record.id))
    return cgroups.open(engine.cgroups, cgroup(engine, record))


def _init(engine: Engine, container_id: str) -> tuple[int, int]:
    """(pid, start ticks) as the shim has written them; zeros where it has not (spawn/record.py)."""
    try:
        with open(f"{engine.paths.shim_dir(container_id)}/state", encoding="ascii") as file:
            words = dict(line.split() for line in file)
        return int(words["init"]), int(words["init_start"])
    except (FileNotFoundError, KeyError, ValueError):
        return 0, 0


def kill(engine: Engine, record: ContainerRecord) -> None:
    """SIGKILL to all that is in the group, which is thawed. Blocking.

    The shim removes the group as soon as it is empty, so that it may vanish at any moment: then all is dead.
    """
    try:
        group(engine, record).kill()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def clear(engine: Engine, record: ContainerRecord) -> None:
    """End all that is in the group, and remove it. Blocking. Raises System where that cannot be done.

    Another runtime lets go first. More than once: where a shim was killed in the middle of a start, a process
    of that start may still be on its way into the group.
    """
    if record.runtime:
        runtimes.release(record)
    processes = group(engine, record)
    deadline = time.monotonic() + CLEAR_SECONDS
    while processes.exists():
        kill(engine, record)
        try:
            processes.remove(CLEAR_SECONDS / 10)
        except System:
            if time.monotonic() > deadline:
                raise


def freeze(engine: Engine, record: ContainerRecord) -> bool:
    """Freeze a group; False where it has vanished: the run is just ending. Blocking. Raises System."""
    try:
        group(engine, record).freeze()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return False
    return True


def thaw(engine: Engine, record: ContainerRecord) -> None:
    """Let a frozen group go on; one that has vanished needs it no more. Blocking."""
    try:
        group(engine, record).thaw()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def remove_shim_dir(engine: Engine, container_id: str) -> None:
    """What a shim that was killed left in exec_root; others remove their own. Blocking.

    exec_root is on another file system than the trash, and the directory is small: deleted in place.
    """
    path = engine.paths.shim_dir(container_id)
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return
    for name in names:
        remove_file(f"{path}/{name}")
    with contextlib.suppress(FileNotFoundError):  # a shim that is just ending was faster
        os.rmdir(path)

"""The cgroup of a container's run: where it is, and killing what is in it."""

from __future__ import annotations

import errno
import posixpath
from typing import TYPE_CHECKING

from onggi.runtime import cgroups

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


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


def kill(engine: Engine, record: ContainerRecord) -> None:
    """SIGKILL to all that is in the group, which is thawed. Blocking.

    The shim removes the group as soon as it is empty, so that it may vanish at any moment: then all is dead.
    """
    group = cgroups.open(engine.cgroups, cgroup(engine, record))
    try:
        group.kill()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def thaw(engine: Engine, record: ContainerRecord) -> None:
    """Let a frozen group go on; one that has vanished needs it no more. Blocking."""
    group = cgroups.open(engine.cgroups, cgroup(engine, record))
    try:
        group.thaw()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise

"""Where a run of a container has its cgroup, as a path below every hierarchy's mount point."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


def cgroup(engine: Engine, record: ContainerRecord) -> str:
    """`<cgroup parent>/<container id>`; --cgroup-parent names another parent."""
    parent = record.host_config.cgroup_parent
    return f"{'/' + parent.strip('/') if parent else engine.config.cgroup_root}/{record.id}"

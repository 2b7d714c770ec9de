"""GET /containers/NAME/changes: what a container changed in its image's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.containers import init_layer
from onggi.images.changes import Change, overlay_changes, tree_changes
from onggi.images.tree import open_trees
from onggi.wire.containers import FilesystemChange

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


async def diff(engine: Engine, name: str) -> list[FilesystemChange]:
    """In the order of the paths. Raises NoSuchContainer."""
    container = engine.containers.get(name)
    changes = await engine.offload(_changes, engine, container.record)
    return [
        FilesystemChange(path=change.path.decode("utf-8", "replace"), kind=int(change.kind))
        for change in changes
    ]


def _changes(engine: Engine, record: ContainerRecord) -> list[Change]:
    compare = tree_changes if engine.snapshots.whiteouts == "delete" else overlay_changes
    top = engine.snapshots.tree(record.snapshot)
    with open_trees([top, *init_layer.lowers(engine, record)]) as (new, *old):
        return compare(new, old)

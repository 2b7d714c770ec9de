"""Remove a volume with all that is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine.quotas import VOLUME
from onggi.engine.volumes.record import get, refuse_used
from onggi.errors import NoSuchVolume
from onggi.store import volumes as rows
from onggi.store.trash import delete_tree
from onggi.volumes import local

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def remove(engine: Engine, name: str, *, force: bool = False) -> None:
    """Remove a volume that no container has; `force` forgives one that is not there.

    Row and directory go in one step of the event loop, so nobody finds one without the other; deleting what
    was in it comes afterwards. Commit point: the row's end. Failpoint: volume.row-deleted.
    Raises NoSuchVolume, Conflict.
    """
    async with engine.volumes.lock(name):
        try:
            get(engine, name)
        except NoSuchVolume:
            if force:
                return
            raise
        refuse_used(engine, name, "remove")
        rows.delete(engine.database, name)
        failpoints.hit("volume.row-deleted")
        away = local.move_away(engine.paths, name)
        engine.quotas.take_back(VOLUME + name)
    engine.events.emit("volume", "destroy", name, {"driver": "local"})
    if away is not None:
        await engine.offload(delete_tree, away)

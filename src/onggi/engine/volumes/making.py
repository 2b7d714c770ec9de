"""A new volume whose content comes with it: a row that says so, the content, then the volume.

    row (making) -> directory -> content (volumes/filling.py) -> row

Commit point: the row without `making`. Before it a failure takes the volume away again, and so does the next
start after a crash, unless a container has it meanwhile. Failpoints: volume.making, volume.made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine import clock
from onggi.engine.volumes.record import VolumeRecord
from onggi.errors import Conflict
from onggi.store import volumes as rows
from onggi.store.trash import delete_tree
from onggi.volumes import local

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


@asynccontextmanager
async def making(engine: Engine, name: str, labels: dict[str, str]) -> AsyncIterator[VolumeRecord]:
    """The block fills the volume; nobody else takes it up meanwhile. Raises InvalidParameter, Conflict."""
    local.check_name(name)
    async with engine.volumes.lock(name):
        if rows.find(engine.database, name) is not None:
            raise Conflict(f"A volume named {name} already exists")
        record = VolumeRecord(name=name, created_at=clock.now(), labels=labels)
        begun = msgspec.json.encode(msgspec.structs.replace(record, making=True))
        rows.insert(engine.database, rows.VolumeRow(name, "local", record.created_at, begun))
        try:
            local.make(engine.paths, name)
            failpoints.hit("volume.making")
            yield record
            rows.update(engine.database, name, msgspec.json.encode(record))
        except BaseException:
            rows.delete(engine.database, name)
            away = local.move_away(engine.paths, name)
            if away is not None:
                await engine.offload(delete_tree, away)
            raise
    failpoints.hit("volume.made")
    engine.events.emit("volume", "create", name, {"driver": "local"})

"""Give a volume another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine.quotas import VOLUME
from onggi.engine.volumes.record import VolumeRecord, get, refuse_used
from onggi.errors import InvalidParameter
from onggi.store import volumes as rows
from onggi.volumes import local

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def rename(engine: Engine, name: str, new: str) -> None:
    """Rename a volume that no container has.

    The row tells of the old name until the directory has the new one, so that the next start finishes what a
    crash cut off. Commit point: the row. Failpoints: volume.row-renamed, volume.directory-renamed.
    Raises NoSuchVolume, InvalidParameter, Conflict (in use, or the name is taken).
    """
    local.check_name(new)
    if name == new:
        raise InvalidParameter(f"rename {name}: the new name is the old one")
    async with engine.volumes.lock(name):
        record = msgspec.structs.replace(get(engine, name), name=new, moved_from=name)
        refuse_used(engine, name, "rename")
        with engine.database.transaction():
            rows.rename(engine.database, name, new, msgspec.json.encode(record))
            engine.quotas.rename(VOLUME + name, VOLUME + new)
        failpoints.hit("volume.row-renamed")
        finish(engine, record)
    engine.events.emit("volume", "rename", new, {"driver": "local", "oldName": name})


def finish(engine: Engine, record: VolumeRecord) -> None:
    """Bring the directory to where the row says it is; also at start, after a crash. Blocking."""
    local.rename(engine.paths, record.moved_from, record.name)
    failpoints.hit("volume.directory-renamed")
    whole = msgspec.structs.replace(record, moved_from="")
    rows.update(engine.database, record.name, msgspec.json.encode(whole))

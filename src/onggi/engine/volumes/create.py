"""Create a volume, or find the one of that name."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine import clock
from onggi.engine.quotas import VOLUME
from onggi.engine.volumes.record import ANONYMOUS_LABEL, VolumeRecord, decoded, shown
from onggi.errors import NotFound, NotImplemented_
from onggi.store import volumes as rows
from onggi.volumes import local, mounting
from onggi.wire.volumes import Volume, VolumeCreateRequest

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def create(engine: Engine, request: VolumeCreateRequest) -> Volume:
    """Make a volume; one that exists already is returned as it is, whatever options are asked for.

    The row is written before the directory, and an existing row's directory is made again where it lacks, so
    a crash between the two heals. Commit point: the row. Failpoint: volume.row-written.
    Raises InvalidParameter, NotFound (a driver other than local).
    """
    name = request.name or secrets.token_hex(32)
    _check(name, request)
    row = rows.find(engine.database, name)
    if row is None:
        mounting.check(name, request.driver_opts)
        engine.quotas.check_volume(name, request.driver_opts)
        labels = request.labels if request.name else {**request.labels, ANONYMOUS_LABEL: ""}
        record = VolumeRecord(name=name, created_at=clock.now(), labels=labels, options=request.driver_opts)
        encoded = msgspec.json.encode(record)
        rows.insert(engine.database, rows.VolumeRow(name, "local", record.created_at, encoded))
        failpoints.hit("volume.row-written")
        try:
            make_directory(engine, record)
        except BaseException:  # a size in which not even a directory fits
            local.move_away(engine.paths, name)
            engine.quotas.take_back(VOLUME + name)
            rows.delete(engine.database, name)
            raise
        engine.events.emit("volume", "create", name, {"driver": "local"})
    else:
        record = decoded(row)
        make_directory(engine, record)
    return shown(engine, record)


def make_directory(engine: Engine, record: VolumeRecord) -> None:
    """Where it lacks, with the limit of `-o size`. Raises InvalidParameter, System, OSError."""
    owner = VOLUME + record.name
    engine.quotas.give(owner, engine.quotas.check_volume(record.name, record.options))
    local.make(engine.paths, record.name, lambda directory: engine.quotas.put(owner, directory))


def _check(name: str, request: VolumeCreateRequest) -> None:
    if request.cluster_volume_spec is not None:
        raise NotImplemented_(f"create {name}: this engine has no cluster volumes")
    if request.driver not in ("", "local"):
        plugin = request.driver
        raise NotFound(f'create {name}: error looking up volume plugin {plugin}: plugin "{plugin}" not found')
    local.check_name(name)

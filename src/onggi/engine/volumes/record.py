"""What the database holds of a volume, how it is shown, and who uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine import clock
from onggi.errors import Conflict, Corrupt
from onggi.store import volumes as rows
from onggi.wire.volumes import Volume

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One volume; `created_at` in ns. A volume that was made without a name has ANONYMOUS_LABEL."""

    name: str
    created_at: int
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    making: bool = False  # its content is not yet in it: making.py
    moved_from: str = ""  # where its directory may still be: rename.py


def get(engine: Engine, name: str) -> VolumeRecord:
    """By exact name. Raises NoSuchVolume, Corrupt."""
    return decoded(rows.get(engine.database, name))


def all_(engine: Engine) -> list[VolumeRecord]:
    """Every volume, by name. Raises Corrupt."""
    return [decoded(row) for row in rows.list_(engine.database)]


def decoded(row: rows.VolumeRow) -> VolumeRecord:
    try:
        return msgspec.json.decode(row.record, type=VolumeRecord)
    except msgspec.DecodeError as error:
        raise Corrupt(f"record of volume {row.name} is corrupt: {error}") from None


def shown(engine: Engine, record: VolumeRecord) -> Volume:
    """As inspect shows it."""
    return Volume(
        name=record.name,
        driver="local",
        mountpoint=engine.paths.volume_data(record.name),
        created_at=clock.rfc3339(record.created_at // clock.SECOND * clock.SECOND),
        labels=record.labels,
        options=record.options,
    )


def users(engine: Engine, name: str) -> list[str]:
    """Ids of the containers that mount a volume, running or not."""
    return [
        container.id
        for container in engine.containers.all()
        if any(mount.type == "volume" and mount.name == name for mount in container.record.mounts)
    ]


def refuse_used(engine: Engine, name: str, verb: str) -> None:
    """Raises Conflict while a container mounts a volume, running or not, or a verb looks into it."""
    using = dict.fromkeys([*users(engine, name), *sorted(engine.volumes.holders.get(name, ()))])
    if using:
        raise Conflict(f"{verb} {name}: volume is in use - [{', '.join(using)}]")

"""Volumes: rows against directories, and against the containers that mount them.

volume-corrupt     a record that does not decode
volume-lost        a row without its directory
volume-unowned     a directory in volumes/ that no row owns; where a container mounts it, its row is written
                   again, and only else it goes
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from onggi.engine import clock
from onggi.engine.volumes.record import VolumeRecord, decoded
from onggi.errors import Corrupt
from onggi.images.check.fault import Checked, Fault
from onggi.store import volumes as rows
from onggi.volumes import local

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


def faults(engine: Engine, checked: Checked, mounted: dict[str, list[str]]) -> Iterator[Fault]:
    """`mounted`: volume -> names of the containers that mount it. A row is there before its directory."""
    present = local.names(engine.paths)
    listed = rows.list_(engine.database)
    for row in listed:
        checked.volumes += 1
        try:
            decoded(row)
        except Corrupt as error:
            yield Fault(
                "volume-corrupt", row.name, error.message, 0, "write a record of its name and age",
                _rewrite(engine, row),
            )  # fmt: skip
            continue
        here = row.driver != "local" or os.path.isdir(engine.paths.volume_data(row.name))
        if not here and rows.find(engine.database, row.name) is not None:
            said, remedy = "its directory is gone", "make it again, empty"
            yield Fault("volume-lost", row.name, said, 0, remedy, _make(engine, row.name))
    known = {row.name for row in listed}
    for name in present:
        path = f"{engine.paths.volumes_dir}/{name}"
        if name not in known and os.path.lexists(path) and rows.find(engine.database, name) is None:
            yield _unowned(engine, name, local.usage_bytes(path), mounted.get(name, []))


def _unowned(engine: Engine, name: str, size: int, users: list[str]) -> Fault:
    if users:
        said = f"no row owns it, and container {users[0]} mounts it"
        return Fault("volume-unowned", name, said, size, "write its row again", _insert(engine, name))
    remedy = f"delete it, {size} bytes"
    return Fault("volume-unowned", name, "no row owns it", size, remedy, _throw(engine, name))


def _row(name: str) -> rows.VolumeRow:
    created = clock.now()
    return rows.VolumeRow(
        name, "local", created, msgspec.json.encode(VolumeRecord(name=name, created_at=created))
    )


def _insert(engine: Engine, name: str) -> Callable[[], None]:
    def mend() -> None:
        if rows.find(engine.database, name) is None:
            rows.insert(engine.database, _row(name))

    return mend


def _rewrite(engine: Engine, row: rows.VolumeRow) -> Callable[[], None]:
    def mend() -> None:
        record = VolumeRecord(name=row.name, created_at=row.created_at)
        rows.update(engine.database, row.name, msgspec.json.encode(record))

    return mend


def _make(engine: Engine, name: str) -> Callable[[], None]:
    def mend() -> None:
        if rows.find(engine.database, name) is not None:
            local.make(engine.paths, name)

    return mend


def _throw(engine: Engine, name: str) -> Callable[[], None]:
    def mend() -> None:
        if rows.find(engine.database, name) is None:
            engine.trash.throw(f"{engine.paths.volumes_dir}/{name}")

    return mend

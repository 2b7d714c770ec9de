"""Containers: rows against directories and snapshots.

container-corrupt   a record that does not decode: the next start of the engine would refuse it
container-lost      a row without its directory, or without its snapshot's row
directory-unowned   a directory in containers/ that no row owns
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.record import ContainerRecord, decode
from onggi.images.check.fault import Checked, Fault
from onggi.images.snapshots.rows import measure
from onggi.store import containers as rows
from onggi.store import images as image_rows

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


def faults(engine: Engine, checked: Checked) -> Iterator[Fault]:
    """Directories are listed before rows: a container's row is there before its directory."""
    present = sorted(os.listdir(engine.paths.containers_dir))
    listed = rows.list_(engine.database)
    for row in listed:
        checked.containers += 1
        try:
            record = decode(row.record)
        except msgspec.DecodeError as error:
            yield _corrupt(engine, row, str(error))
            continue
        if record.complete and _here(engine, record.id):
            yield from _lost(engine, record)
    known = {row.id for row in listed}
    for name in present:
        path = engine.paths.container_dir(name)
        if name not in known and os.path.lexists(path) and not _here(engine, name):
            size = measure(path).bytes if os.path.isdir(path) else os.lstat(path).st_size
            yield Fault(
                "directory-unowned", f"containers/{name}", "no row owns it", size, f"delete it, {size} bytes",
                _throw(engine, name),
            )  # fmt: skip


def _here(engine: Engine, container_id: str) -> bool:
    return engine.database.one("SELECT 1 FROM containers WHERE id = ?", container_id) is not None


def _corrupt(engine: Engine, row: rows.ContainerRow, said: str) -> Fault:
    """What lives still has its record in memory, which is written again."""
    live = engine.containers.find(row.id)
    if live is None:
        return Fault("container-corrupt", row.name, f"its record does not decode: {said}")
    record = live.record

    def mend() -> None:
        rows.update(engine.database, row.id, status=str(record.status), record=record.encode())

    remedy = "write it again from memory"
    return Fault("container-corrupt", row.name, f"its record does not decode: {said}", 0, remedy, mend)


def _lost(engine: Engine, record: ContainerRecord) -> Iterator[Fault]:
    directory = engine.paths.container_dir(record.id)
    if not os.path.isdir(f"{directory}/rootfs"):
        said = "its directory is gone" if not os.path.isdir(directory) else "its mount point is gone"
        yield Fault("container-lost", record.name, said, 0, "make it again", _make(engine, record.id))
    if record.snapshot and not engine.snapshots.exists(record.snapshot):
        top = _top(engine, record)
        mend = _new_snapshot(engine, record, top) if top is not None else None
        remedy = "make an empty one: what the container wrote is lost" if mend else ""
        said = "its writable layer's row is gone" + ("" if mend else ", and its image too")
        yield Fault("container-lost", record.name, said, 0, remedy, mend)


def _top(engine: Engine, record: ContainerRecord) -> str | None:
    if image_rows.get(engine.database, record.image_id) is None:
        return None
    stack = image_rows.stack(engine.database, record.image_id)
    return stack[-1].chain_id if stack else ""


def _make(engine: Engine, container_id: str) -> Callable[[], None]:
    def mend() -> None:
        if _here(engine, container_id):
            directory = engine.paths.container_dir(container_id)
            os.makedirs(directory, 0o710, exist_ok=True)
            os.makedirs(f"{directory}/rootfs", 0o755, exist_ok=True)

    return mend


def _new_snapshot(engine: Engine, record: ContainerRecord, top: str) -> Callable[[], None]:
    def mend() -> None:
        if _here(engine, record.id) and not engine.snapshots.exists(record.snapshot):
            engine.snapshots.create(
                record.snapshot, top, "container", project=engine.quotas.project(record.id)
            )

    return mend


def _throw(engine: Engine, name: str) -> Callable[[], None]:
    def mend() -> None:
        if not _here(engine, name):
            engine.trash.throw(engine.paths.container_dir(name))

    return mend

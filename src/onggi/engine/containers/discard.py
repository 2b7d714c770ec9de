"""Take away everything that a container owns, in the order that a crash forgives: the row goes last.

    waiting shim -> cgroup -> shim's directory -> snapshot -> directory (renamed to the trash)
    -> anonymous volumes -> disk quota -> range of ids -> row

Every step may find its work done already, so that it can be called again after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import run_paths
from onggi.engine.containers import mount_sources, volume_mounts
from onggi.images import collect
from onggi.store import id_ranges

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


async def discard(engine: Engine, container: Container, *, volumes: bool) -> None:
    """Remove a container that does not run; its lock is held. `volumes`: anonymous ones go too.

    Raises OSError, Conflict, System: then the row is still there, and the caller marks the container dead.
    """
    if container.shim is not None:
        await container.shim.quit()
        container.shim = None
    record = container.record
    await engine.offload(_remove_files, engine, record)
    if volumes:
        await volume_mounts.remove_anonymous(engine, record)
        failpoints.hit("remove.volumes-gone")
    engine.quotas.take_back(record.id)
    id_ranges.give_back(engine.database, record.id)
    engine.execs.forget(container)
    engine.containers.discard(container)


def _remove_files(engine: Engine, record: ContainerRecord) -> None:
    run_paths.clear(engine, record)
    run_paths.remove_shim_dir(engine, record.id)
    failpoints.hit("remove.cgroup-gone")
    if record.snapshot:
        engine.snapshots.remove(record.snapshot)
        collect.collect_after(engine.images, record.image_id)
    mount_sources.remove_image_mounts(engine, record)
    failpoints.hit("remove.snapshot-gone")
    engine.trash.throw(engine.paths.container_dir(record.id))
    failpoints.hit("remove.directory-gone")

"""Give a container another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine.containers import validate
from onggi.engine.networks import names as network_names
from onggi.errors import Conflict, InvalidParameter

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def rename(engine: Engine, name: str, new_name: str) -> None:
    """Commit point: the row. Failpoint: rename.row-written.

    Raises NoSuchContainer, InvalidParameter, Conflict (the name is taken).
    """
    if not name or not new_name:
        raise InvalidParameter("Neither old nor new names may be empty")
    async with engine.containers.locked(name) as container:
        wanted = validate.name(new_name)
        old = container.name
        if wanted == old:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        owner = engine.containers.named(wanted)
        if owner is not None:
            raise Conflict(
                f'Conflict. The container name "/{wanted}" is already in use by container "{owner.id}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        engine.containers.rename(container, wanted)
        failpoints.hit("rename.row-written")
        if container.running and container.record.endpoints:
            container.update(endpoints=network_names.renamed(container.record, old))
            await engine.offload(network_names.joined, engine, container.record)
        engine.events.container("rename", container.record, oldName=f"/{old}")

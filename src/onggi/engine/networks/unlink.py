"""Remove a link of the default bridge: `rm --link web/alias`. Commit point: the container's record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine.networks import hosts, links
from onggi.errors import Conflict, NoSuchContainer

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine


async def unlink(engine: Engine, name: str) -> None:
    """Raises NoSuchContainer (there is no such link), Conflict (`name` is a container's own)."""
    parent, _ = links.by_alias(engine, name)
    alias = name.rpartition("/")[2]
    async with engine.containers.locked(parent.id) as container:
        host = container.record.host_config
        kept = [item for item in host.links if links.parse(item)[1] != alias]
        container.update(host_config=msgspec.structs.replace(host, links=kept))
        if container.running:
            await engine.offload(_write, engine, container)


async def moved(engine: Engine, container: Container) -> None:
    """A container has started: those that link to it learn its address. The lock of none is needed."""
    for other in links.linking(engine, container):
        await engine.offload(_write, engine, other)


def _write(engine: Engine, container: Container) -> None:
    record = container.record
    directory = engine.paths.container_dir(record.id)
    try:
        hosts.write(engine, directory, record, resolver=record.id in engine.networks.served)
    except Conflict:
        return  # another linked container does not run: its start writes the file
    except (NoSuchContainer, FileNotFoundError):
        return  # it is just being removed, or one that it links to

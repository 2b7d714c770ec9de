"""GET /containers/NAME/export: the whole root of a container as a tar, without its volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from onggi.engine.containers import archive_root
from onggi.images.pack import pack

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def export(engine: Engine, name: str, *, at_ns: int | None = None) -> AsyncIterator[bytes]:
    """`at_ns`: every time in it, where that is given. Raises NoSuchContainer, System."""
    async with engine.containers.locked(name) as container:
        root_fd = await engine.offload(archive_root.open_exported, engine, container)
        owners = archive_root.owners(container)
    engine.events.container("export", container.record)
    return archive_root.Archive(engine, root_fd, partial(pack, owners=owners, at_ns=at_ns))

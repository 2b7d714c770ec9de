"""HEAD /containers/NAME/archive: the facts of a path in a container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from onggi.engine.containers import archive_root
from onggi.images import archive
from onggi.images.archive import PathStat

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine


async def archive_stat(engine: Engine, name: str, path: str) -> PathStat:
    """Raises NoSuchContainer, NotFound (no such path), InvalidParameter."""
    async with engine.containers.locked(name) as container:
        return await engine.offload(_stat, engine, container, name, path)


def _stat(engine: Engine, container: Container, name: str, path: str) -> PathStat:
    root_fd = archive_root.open_root(engine, container)
    try:
        return archive.stat(root_fd, path, container=name)
    finally:
        os.close(root_fd)

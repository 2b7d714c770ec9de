"""GET /containers/NAME/archive: a path of a container as a tar."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine.containers import archive_root
from onggi.images import archive
from onggi.images.archive import PathStat

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine


async def archive_get(engine: Engine, name: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
    """The facts of the path and its archive. Raises NoSuchContainer, NotFound, InvalidParameter."""
    async with engine.containers.locked(name) as container:
        root_fd, facts = await engine.offload(_open, engine, container, name, path)
        owners = archive_root.owners(container)
    engine.events.container("archive-path", container.record)
    stream = archive_root.Archive(
        engine, root_fd, lambda fd, pipe: archive.get(fd, path, pipe, container=name, owners=owners)
    )
    return facts, stream


def _open(engine: Engine, container: Container, name: str, path: str) -> tuple[int, PathStat]:
    root_fd = archive_root.open_root(engine, container)
    try:
        return root_fd, archive.stat(root_fd, path, container=name)
    except BaseException:
        os.close(root_fd)
        raise

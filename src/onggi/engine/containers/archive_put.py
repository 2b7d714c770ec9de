"""PUT /containers/NAME/archive: unpack a tar into a directory of a container."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from onggi.engine.containers import archive_root
from onggi.images import archive, view
from onggi.kernel.acting import acting_as, within_quotas

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.images.pipe import Pipe


async def archive_put(
    engine: Engine,
    name: str,
    path: str,
    body: AsyncIterator[bytes],
    *,
    no_overwrite_dir_non_dir: bool = False,
    copy_uid_gid: bool = False,
) -> None:
    """Unpack `body`; with `copy_uid_gid` all becomes the property of the container's user.

    A container that does not run is locked to the end, so that it is not started under an open archive.

    Raises NoSuchContainer, NotFound (no such path), Forbidden (a read-only root or volume), InvalidParameter.
    """

    def read(pipe: Pipe) -> None:
        _put(engine, container, name, path, pipe, no_overwrite=no_overwrite_dir_non_dir, own=copy_uid_gid)

    async with engine.containers.locked(name) as container:
        locked = not container.running
        if locked:
            await archive_root.consume(engine, body, read)
    if not locked:
        await archive_root.consume(engine, body, read)
    engine.events.container("extract-to-dir", container.record)


def _put(
    engine: Engine, container: Container, name: str, path: str, pipe: Pipe, *, no_overwrite: bool, own: bool
) -> None:
    record = container.record
    root_fd = archive_root.open_root(engine, container, writable=True)
    owners = archive_root.owners(container)
    try:
        owner = None
        if own and record.config.user:
            account = view.resolve_user(root_fd, record.config.user)
            owner = (account.uid, account.gid)
        with acting_as(*owners.outside(0, 0)) if owners else nullcontext(), within_quotas():
            archive.put(
                root_fd,
                path,
                pipe,
                container=name,
                read_only_root=record.host_config.readonly_rootfs,
                owner=owner,
                owners=owners,
                no_overwrite_dir_non_dir=no_overwrite,
            )
    finally:
        os.close(root_fd)

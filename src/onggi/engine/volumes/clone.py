"""Make a volume that has what another one has now, sharing its blocks where the file system can."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from onggi.engine.volumes import mounted
from onggi.engine.volumes.making import making
from onggi.engine.volumes.record import ANONYMOUS_LABEL, get, shown
from onggi.volumes import copying, filling
from onggi.wire.volumes import Volume

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def clone(engine: Engine, name: str, new: str) -> Volume:
    """Copy a volume; what is written to it meanwhile may be in the copy or not.

    The copy of a volume that is a mount is a plain volume. Commit point and failpoints: making.py.
    Raises NoSuchVolume, InvalidParameter, Conflict (the name is taken), System, OSError.
    """
    labels = {key: value for key, value in get(engine, name).labels.items() if key != ANONYMOUS_LABEL}
    async with mounted.held(engine, name, f"clone to {new}"), making(engine, new, labels) as record:
        await engine.offload(_copy, engine, name, new)
    return shown(engine, record)


def _copy(engine: Engine, name: str, new: str) -> None:
    source_fd = os.open(
        engine.paths.volume_data(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    )
    try:
        filling.fill(engine.paths, new, lambda fd: copying.copy(source_fd, fd))
    finally:
        os.close(source_fd)

"""A volume as a tar archive."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from onggi.engine.containers.archive_root import Archive
from onggi.engine.volumes import mounted
from onggi.images.pack import pack
from onggi.images.pipe import Pipe

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


class Exported(Archive):
    """The archive's bytes; the volume is held until they are read or nobody wants them any more."""

    def __init__(self, engine: Engine, name: str, holder: str, root_fd: int) -> None:
        super().__init__(engine, root_fd, _write)
        self._held = (engine, name, holder)

    async def aclose(self) -> None:
        await super().aclose()
        await mounted.release(*self._held)


async def export(engine: Engine, name: str) -> Exported:
    """Raises NoSuchVolume, System. The caller calls `aclose` in the end."""
    holder = f"export {secrets.token_hex(4)}"
    await mounted.hold(engine, name, holder)
    try:
        root_fd = os.open(
            engine.paths.volume_data(name), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
    except BaseException:
        await mounted.release(engine, name, holder)
        raise
    engine.events.emit("volume", "export", name, {"driver": "local"})
    return Exported(engine, name, holder, root_fd)


def _write(root_fd: int, pipe: Pipe) -> None:
    pack(root_fd, pipe, under=b".")

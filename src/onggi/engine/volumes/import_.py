"""Make a volume of a tar archive, compressed or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine.containers import archive_root
from onggi.engine.volumes.making import making
from onggi.engine.volumes.record import shown
from onggi.images.apply import extract
from onggi.images.compression import decompress
from onggi.images.pipe import Pipe
from onggi.volumes import filling
from onggi.wire.volumes import Volume

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def import_(engine: Engine, name: str, body: AsyncIterator[bytes]) -> Volume:
    """The volume is there when the whole archive is in it, else not at all.

    Commit point and failpoints: making.py. Raises InvalidParameter, Conflict (the name is taken), BadArchive,
    TooLarge, NoSpace, System.
    """

    def read(pipe: Pipe) -> None:
        filling.fill(engine.paths, name, lambda fd: extract(decompress(pipe), fd, own_root=True))

    async with making(engine, name, {}) as record:
        await archive_root.consume(engine, body, read)
    return shown(engine, record)

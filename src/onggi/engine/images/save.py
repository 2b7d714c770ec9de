"""`docker save`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from onggi.engine import streams
from onggi.errors import InvalidParameter
from onggi.images import save as saving
from onggi.spec import platform as platforms

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


class _Sink:
    """What the archive's writer writes to."""

    def __init__(self, write: streams.Write) -> None:
        self.write = write


async def save(engine: Engine, names: list[str], *, platform: Sequence[str] = ()) -> AsyncIterator[bytes]:
    """An archive of several images, of all their platforms or of those (JSON).

    Raises NoSuchImage, InvalidParameter, Corrupt before the first byte.
    """
    if not names:
        raise InvalidParameter("no image names were given")
    wanted = [platforms.parse_json(text) for text in platform if text]
    chosen = await engine.offload(saving.choose, engine.images, names, wanted)
    await engine.offload(saving.verify, engine.images, chosen)
    for one in chosen:
        engine.events.emit("image", "save", one.image.id, {"name": one.image.id})
    return await streams.iterate(lambda write: saving.save(engine.images, chosen, _Sink(write)))

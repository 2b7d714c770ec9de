"""A deleted bridge or a flushed table is found and mended: a look every few seconds at live networks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from onggi.engine.networks import names, uplink
from onggi.errors import OnggiError

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

SECONDS = 3.0
log = logging.getLogger(__name__)


async def watch(engine: Engine) -> None:
    """Runs until the engine closes. What cannot be mended is reported and tried again."""
    while True:
        await asyncio.sleep(SECONDS)
        if not engine.networks.all_live() and engine.networks.outside is None:
            continue
        try:
            mended = await engine.offload(uplink.mend, engine)
            mended += await engine.offload(engine.networks.mend)
            mended += await engine.offload(names.mend, engine)
            for collision in await engine.offload(engine.networks.collisions):
                log.warning("%s", collision)
            for what in mended:
                log.warning("%s was gone or changed and has been made again", what)
                engine.events.emit("network", "mend", "", {"name": what})
        except (OnggiError, OSError) as error:
            log.error("networks cannot be mended: %s", error)

"""Is the engine there?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def ping(engine: Engine) -> bytes:
    """Says OK, from the event loop that does everything else."""
    return b"OK"

"""Set the size of a container's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.shims import ShimGone
from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def resize(engine: Engine, name: str, *, rows: int, columns: int) -> None:
    """A container without a terminal has nothing to resize, and dockerd does not mind.

    Raises NoSuchContainer, Conflict (not running).
    """
    container = engine.containers.get(name)
    if not container.running or container.shim is None:
        raise Conflict(f"container {container.id} is not running")
    if container.record.config.tty:
        try:
            await container.shim.resize(rows, columns)
        except ShimGone:
            raise Conflict(f"container {container.id} is not running") from None
    engine.events.container("resize", container.record, height=str(rows), width=str(columns))

"""Set the size of a container's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def resize(engine: Engine, name: str, *, rows: int, columns: int) -> None:
    """Raises NoSuchContainer, Conflict (not running, no terminal)."""
    container = engine.containers.get(name)
    if not container.running or container.shim is None:
        raise Conflict(f"container {container.id} is not running")
    await container.shim.resize(rows, columns)
    engine.events.container("resize", container.record, height=str(rows), width=str(columns))

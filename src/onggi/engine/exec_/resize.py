"""Set the size of an exec's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.errors import Conflict

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def resize(engine: Engine, exec_id: str, *, rows: int, columns: int) -> None:
    """Raises NoSuchExec, Conflict (not running, no terminal)."""
    instance = engine.execs.get(exec_id)
    shim = instance.container.shim
    if not instance.running or shim is None:
        raise Conflict(f"exec {exec_id} is not running")
    await shim.resize(rows, columns, exec_id)

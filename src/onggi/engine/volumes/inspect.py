"""Inspect one volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.volumes.record import get, shown
from onggi.wire.volumes import Volume

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, name: str) -> Volume:
    """One volume. Raises NoSuchVolume."""
    return shown(engine, get(engine, name))

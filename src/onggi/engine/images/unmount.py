"""`onggi image unmount`: ours alone, and podman's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.images import mounted
from onggi.spec import platform as platforms

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def unmount(engine: Engine, name: str, *, platform: str = "", force: bool = False) -> None:
    """Take one mount of it back; `platform` is JSON. Raises NoSuchImage, NotFound, Conflict."""
    wanted = platforms.parse_json(platform) if platform else None
    await engine.offload(mounted.unmount, engine.images, name, wanted, force=force)
    engine.events.emit("image", "unmount", name, {"name": name})

"""`onggi image mount` without a name: which images are mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.images.mount import told
from onggi.images import mounted
from onggi.wire.images import ImageMount

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def mounts(engine: Engine) -> list[ImageMount]:
    """All of them, by id."""
    return [told(one) for one in await engine.offload(mounted.list_, engine.images)]

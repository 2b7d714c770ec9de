"""`docker pull`: this engine does not speak to registries yet, and says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.errors import NotImplemented_
from onggi.images.tag import target

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def pull(engine: Engine, image: str, tag: str = "", *, platform: str = "") -> AsyncIterator[bytes]:
    """Raises InvalidParameter, NotImplemented_."""
    named = target(image, tag if ":" not in tag else "")
    raise NotImplemented_(
        f"cannot pull {named.familiar}: this engine does not speak to registries yet; "
        "use load, import or `onggi image bootstrap`"
    )

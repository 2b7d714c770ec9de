"""`onggi image mount`: ours alone, and podman's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import rootless
from onggi.errors import System
from onggi.images import mounted
from onggi.spec import platform as platforms
from onggi.wire.images import ImageMount

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def mount(engine: Engine, name: str, *, platform: str = "") -> ImageMount:
    """Where the image's files are now, read-only; `platform` is JSON. Raises NoSuchImage, NotFound,
    InvalidParameter, System (what the kernel says).
    """
    rootless.refuse(
        engine.config.rootless,
        f"image mount {name}",
        "what is mounted in here the user's programs do not see",
    )
    wanted = platforms.parse_json(platform) if platform else None
    made = await engine.offload(_mount, engine, name, wanted)
    engine.events.emit("image", "mount", made.id, {"name": name})
    return made


def _mount(engine: Engine, name: str, wanted: platforms.Platform | None) -> ImageMount:
    try:
        found = mounted.mount(engine.images, name, wanted)
    except OSError as error:
        raise System(f"mount image {name}: {error.strerror or error}") from error
    return told(found)


def told(found: mounted.Mounted) -> ImageMount:
    """In the API's form."""
    return ImageMount(id=found.id, path=found.path, repo_tags=found.names, uses=found.uses)

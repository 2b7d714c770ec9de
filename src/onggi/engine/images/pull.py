"""`docker pull`: the embedded image comes out of the engine itself; registries are not spoken to yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine.images.lines import lines
from onggi.engine.streams import Write
from onggi.errors import NotImplemented_
from onggi.images import embedded
from onggi.images.progress import Progress
from onggi.images.tag import target
from onggi.spec import platform as platforms
from onggi.spec import reference as references

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def pull(engine: Engine, image: str, tag: str = "", *, platform: str = "") -> AsyncIterator[bytes]:
    """Raises InvalidParameter, NotFound, NotImplemented_."""
    wanted = platforms.parse(platform) if platform else None
    named = references.parse(f"{image}@{tag}") if tag.startswith("sha256:") else references.parse(image)
    if not named.digest:
        named = target(image, tag)
    if not embedded.is_embedded(named):
        raise NotImplemented_(
            f"cannot pull {named.familiar}: this engine does not speak to registries yet; "
            "use load, import or `onggi image bootstrap`"
        )

    def work(write: Write) -> None:
        image_id = embedded.install(engine.images, named, wanted)
        write(Progress(status=f"Installed {named.familiar} from the engine itself", id=named.tag).encode())
        write(Progress(status=f"Image ID: {image_id}").encode())
        write(Progress(status=f"Status: Image is here: {named.familiar}").encode())

    stream = await lines(work)
    engine.events.emit("image", "pull", named.familiar, {"name": named.familiar})
    return stream

"""`docker import`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine import streams
from onggi.engine.images.lines import lines
from onggi.images import import_ as importing
from onggi.images import instructions
from onggi.images.progress import Progress
from onggi.images.staging import pieces_of
from onggi.images.tag import target
from onggi.signatures.check import check_archive
from onggi.spec import platform as platforms
from onggi.spec.image import Config

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def import_(
    engine: Engine,
    body: AsyncIterator[bytes],
    *,
    repository: str = "",
    tag: str = "",
    message: str = "",
    changes: list[str] | None = None,
    platform: str = "",
) -> AsyncIterator[bytes]:
    """An image of one layer; the last line holds its id. Raises InvalidParameter, NoSpace,
    Forbidden (the policy of signatures).
    """
    name = str(target(repository, tag)) if repository else ""
    wanted = platforms.parse(platform) if platform else None
    instructions.apply(Config(), changes or [])
    if engine.signature_policy is not None:
        check_archive(engine.signature_policy, "tarball")
    reader = streams.body_reader(body)
    loop = asyncio.get_running_loop()

    def work(write: streams.Write) -> None:
        image_id = importing.import_(
            engine.images,
            pieces_of(reader),
            name=name,
            message=message or "Imported from -",
            changes=changes,
            platform=wanted,
        )
        write(Progress(status=image_id).encode())
        loop.call_soon_threadsafe(engine.events.emit, "image", "import", image_id, {"name": name or image_id})

    return await lines(work)

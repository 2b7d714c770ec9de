"""`docker load`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine import streams
from onggi.engine.images.dropping import drop_packed
from onggi.engine.images.lines import lines
from onggi.images import load as loading
from onggi.images.progress import Progress
from onggi.signatures.check import check_archive
from onggi.spec import platform as platforms

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def load(
    engine: Engine, body: AsyncIterator[bytes], *, quiet: bool = False, platform: list[str] | None = None
) -> AsyncIterator[bytes]:
    """All images of an archive or none; `platform` items are JSON.

    Raises InvalidParameter, Corrupt, NoSpace, Forbidden (the policy of signatures).
    """
    wanted = [platforms.parse_json(text) for text in platform or []]
    reader = streams.body_reader(body)
    loop = asyncio.get_running_loop()

    def allow(transport: str) -> None:
        if engine.signature_policy is not None:
            check_archive(engine.signature_policy, transport)

    def work(write: streams.Write) -> None:
        def report(line: Progress) -> None:
            if line.stream or not quiet:
                write(line.encode())

        ids = loading.load(engine.images, reader, report, wanted, allow)
        drop_packed(engine, ids)
        for image_id in ids:
            loop.call_soon_threadsafe(engine.events.emit, "image", "load", image_id, {"name": image_id})

    return await lines(work)

"""`docker import`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from onggi.engine import streams
from onggi.engine.images import remote
from onggi.engine.images.dropping import drop_packed
from onggi.engine.images.lines import lines
from onggi.images import import_ as importing
from onggi.images import instructions
from onggi.images.progress import INTERVAL_S, Detail, Progress, amount, bar
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
    source: str = "-",
    repository: str = "",
    tag: str = "",
    message: str = "",
    changes: list[str] | None = None,
    platform: str = "",
) -> AsyncIterator[bytes]:
    """An image of one layer, of the body or of what lies at the address `source`; the last line holds its id.

    Raises InvalidParameter, NoSpace,
    Forbidden (the policy of signatures).
    """
    name = str(target(repository, tag)) if repository else ""
    wanted = platforms.parse(platform) if platform else None
    instructions.apply(Config(), changes or [])
    if engine.signature_policy is not None:
        check_archive(engine.signature_policy, "tarball")
    url = remote.address(source) if source != "-" else ""
    reader = streams.body_reader(body)
    loop = asyncio.get_running_loop()

    def work(write: streams.Write) -> None:
        with contextlib.ExitStack() as stack:
            pieces = pieces_of(reader)
            if url:
                pieces = stack.enter_context(remote.fetched(url, _told(write)))
                write(Progress(status=f"Downloading from {url}").encode())
            image_id = importing.import_(
                engine.images,
                pieces,
                name=name,
                message=message or f"Imported from {source}",
                changes=changes,
                platform=wanted,
            )
        drop_packed(engine, [image_id])
        write(Progress(status=image_id).encode())
        loop.call_soon_threadsafe(engine.events.emit, "image", "import", image_id, {"name": name or image_id})

    return await lines(work)


def _told(write: streams.Write) -> Callable[[int, int], None]:
    """Lines of progress, not more than ten a second."""
    last = 0.0

    def hear(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= INTERVAL_S or done == total:
            last = now
            shown = bar(done, total) if total else amount(done)
            line = Progress(status="Importing", progress=shown, progress_detail=Detail(done, total))
            write(line.encode())

    return hear

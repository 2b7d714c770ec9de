"""`docker push`: a job of the engine, as a pull is. The commit point is in pushing.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine.images.transfers import Say
from onggi.errors import InvalidParameter
from onggi.images.progress import Progress
from onggi.spec import platform as platforms
from onggi.spec import reference as references

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.registries import Job


async def push(
    engine: Engine,
    name: str,
    tag: str = "",
    *,
    platform: str = "",
    referrers: bool = False,
    auth: str = "",
) -> AsyncIterator[bytes]:
    """One tag, or all of the repository without any; `platform` is JSON; `referrers`: what refers to the
    image, too. What fails comes in the stream, as dockerd has it.

    Raises InvalidParameter.
    """
    wanted = platforms.parse_json(platform) if platform else None
    named = references.parse(name)
    if named.digest:
        raise InvalidParameter("cannot push a digest reference")
    named = named.with_tag(tag) if tag else named
    from onggi.engine.images.pushing import Push
    from onggi.registry.credentials import from_header

    credentials = from_header(auth)
    loop = asyncio.get_running_loop()

    def work(say: Say, job: Job) -> None:
        say(Progress(status=f"The push refers to repository [{named.name}]"))
        at_once = engine.config.max_concurrent_uploads
        pusher = Push(engine.images, job, say, uploads_at_once=at_once, wanted=wanted)
        known = pusher.tags(named)
        for one in [named] if named.tag else known:
            pushed = pusher.one(one)
            if referrers:
                pusher.referring(one, pushed)
            attributes = {"name": one.familiar_name}
            loop.call_soon_threadsafe(engine.events.emit, "image", "push", one.familiar, attributes)

    key = ("push", str(named), str(wanted or ""), str(referrers), credentials.key)
    return await engine.transfers.join(key, engine.config, credentials, work)

"""`docker pull`: a job of the engine that clients share; the embedded image comes out of the engine itself.

The commit point is in pulling.py. A tag and a digest together pull by digest and name the tag nowhere, as
dockerd does it; no tag at all pulls every tag of the repository.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine.images.dropping import drop_packed
from onggi.engine.images.lines import lines
from onggi.engine.images.transfers import Say
from onggi.engine.streams import Write
from onggi.images import embedded
from onggi.images.progress import Progress
from onggi.spec import platform as platforms
from onggi.spec import reference as references
from onggi.spec.reference import Reference

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.registries import Job


async def pull(
    engine: Engine,
    image: str,
    tag: str = "",
    *,
    platform: str = "",
    referrers: bool = False,
    auth: str = "",
) -> AsyncIterator[bytes]:
    """`referrers`: what refers to the image, too; `auth` is the X-Registry-Auth header.

    Raises InvalidParameter, NotFound, RegistryFailure.
    """
    wanted = platforms.parse(platform) if platform else None
    named = asked(image, tag)
    if embedded.is_embedded(named):
        return await _embedded(engine, named, wanted)
    from onggi.engine.images.pulling import Pull
    from onggi.registry.credentials import from_header

    credentials = from_header(auth)
    loop = asyncio.get_running_loop()

    def work(say: Say, job: Job) -> None:
        puller = Pull(
            engine.images,
            job,
            say,
            wanted=wanted,
            downloads=engine.config.max_concurrent_downloads,
            policy=engine.signature_policy,
        )
        whole = not (named.tag or named.digest)
        for one in [named.with_tag(text) for text in puller.tags(named)] if whole else [named]:
            pulled = puller.one(one)
            if referrers:
                puller.referring(one, pulled)
            there = str(Reference(one.domain, one.path, "", pulled.digest)) if not credentials else ""
            drop_packed(engine, [pulled.id], there)
            name = {"name": one.familiar_name}
            loop.call_soon_threadsafe(engine.events.emit, "image", "pull", one.familiar, name)

    key = ("pull", str(named), str(wanted or ""), str(referrers), credentials.key)
    return await engine.transfers.join(key, engine.config, credentials, work)


def asked(image: str, tag: str) -> Reference:
    """What `fromImage` and `tag` of a request stand for; neither tag nor digest: all tags."""
    named = references.parse(image)
    if tag and ":" in tag:
        return named.with_digest(tag)
    if tag:
        return named.with_tag(tag)
    return named.with_digest(named.digest) if named.digest else named


async def _embedded(
    engine: Engine, named: Reference, wanted: platforms.Platform | None
) -> AsyncIterator[bytes]:
    named = named.tagged()

    def work(write: Write) -> None:
        image_id = embedded.install(engine.images, named, wanted)
        write(Progress(status=f"Installed {named.familiar} from the engine itself", id=named.tag).encode())
        write(Progress(status=f"Image ID: {image_id}").encode())
        write(Progress(status=f"Status: Image is here: {named.familiar}").encode())

    stream = await lines(work)
    engine.events.emit("image", "pull", named.familiar, {"name": named.familiar})
    return stream

"""Base images: looked up in the store, pulled where they are missing or `--pull` asks for it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from onggi.builder import layouts
from onggi.builder.client import Credentials
from onggi.builder.plan.bases import Base
from onggi.engine.images.pull import pull
from onggi.errors import NoSuchImage, NotFound
from onggi.images.images import Image
from onggi.images.progress import Progress
from onggi.images.resolve import runnable
from onggi.spec import reference as references
from onggi.spec.platform import Platform
from onggi.store import images as rows

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job


class EngineBases:
    """Bases of one build (plan/bases.py). `on_line` hears each line of a pull."""

    def __init__(self, job: Job, on_line: Callable[[bytes], None]) -> None:
        self._job = job
        self._on_line = on_line

    async def image(self, reference: str, platform: Platform, resolve: str) -> Base:
        """Raises NotFound, and what a pull raises."""
        found = None if resolve == "pull" else await self._job.builder.work(self._known, reference, platform)
        if found is None:
            if resolve == "local":
                raise NoSuchImage(references.parse(reference).familiar)
            await self._pull(reference, platform)
            found = await self._job.builder.work(self._known, reference, platform)
        if found is None:
            raise NoSuchImage(references.parse(reference).familiar)
        return found

    async def oci_layout(self, store: str, reference: str, platform: Platform) -> Base:
        """Raises NotFound, Corrupt, InvalidParameter, NoSpace."""
        return await layouts.base(self._job, reference, platform)

    def _known(self, reference: str, platform: Platform) -> Base | None:
        """Blocking. An image is kept from removal until the build's end."""
        images = self._job.engine.images
        with images.lock:
            try:
                image = runnable(images, reference, platform)
            except NotFound:  # it is not here, or not of that platform
                return None
            return self._held(image, references.parse(reference))

    def _held(self, image: Image, named: references.Reference) -> Base:
        rows.used(self._job.engine.database, image.id, time.time_ns())
        for key in (image.id, image.manifest, *(layer.chain_id for layer in image.layers)):
            self._job.pin(key)
        for layer in image.layers:
            if layer.blob:
                self._job.pin(layer.blob)
        whole = references.Reference(named.domain, named.path, named.tag, image.manifest)
        self._job.bases[str(whole)] = image.id
        return Base(reference=str(whole), image=image.document)

    async def _pull(self, reference: str, platform: Platform) -> None:
        named = references.parse(reference).tagged()
        auth = await self._job.client.credentials(named.domain)
        lines = await pull(
            self._job.engine,
            named.familiar_name,
            named.digest or named.tag,
            platform=str(platform),
            auth=registry_header(auth) if auth != Credentials() else "",
        )
        async for line in lines:
            said = msgspec.json.decode(line, type=Progress)
            if said.error:
                raise NotFound(said.error)
            self._on_line(line)


def registry_header(auth: Credentials) -> str:
    """The value of X-Registry-Auth."""
    said = {"username": auth.username, "password": auth.password, "identitytoken": auth.identity_token}
    return base64.urlsafe_b64encode(msgspec.json.encode(said)).decode()

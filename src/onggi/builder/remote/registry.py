"""A cache in a registry: one repository and tag, read and written with the client's credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from onggi.builder.remote.places import Open, Take
from onggi.engine.images.refusals import explained
from onggi.registry import uploads
from onggi.registry.credentials import Credentials
from onggi.registry.endpoints import PULL, PUSH
from onggi.registry.failures import RegistryFailure
from onggi.registry.repository import Repository
from onggi.spec import digest as digests
from onggi.spec import reference as references

if TYPE_CHECKING:
    from onggi.builder.client import Credentials as Asked
    from onggi.builder.solver.job import Job

T = TypeVar("T")


class _Place:
    """One for each import and export; close() ends its connections."""

    def __init__(self, job: Job, reference: str, credentials: Asked) -> None:
        self.named = references.parse(reference).tagged()
        self.name = self.named.familiar
        self._work = job.builder.work
        who = Credentials(
            credentials.username, credentials.password, identity_token=credentials.identity_token
        )
        self.session = job.engine.transfers.registries(job.engine.config).job(who)

    def close(self) -> None:
        self.session.connections.close()

    async def _do(self, blocking: Callable[[], T]) -> T:
        """In a thread. Who leaves it ends the connections, and with them the thread's work."""
        task = asyncio.ensure_future(self._work(blocking))
        try:
            return await asyncio.shield(task)
        except RegistryFailure as failure:
            raise explained(failure, self.named) from None
        except asyncio.CancelledError:
            self.session.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise


class FromRegistry(_Place):
    """A Source."""

    _found: Repository | None = None

    async def top(self) -> bytes:
        what = self.named.digest or self.named.tag

        def read() -> bytes:
            self._found, manifest = self.session.first(self.named, lambda one: one.manifest(what), need=PULL)
            return manifest.data

        return await self._do(read)

    async def document(self, digest: str, size: int, limit: int) -> bytes:
        source = self._source()

        def read() -> bytes:
            try:
                return source.document(digests.check(digest), limit)
            except RegistryFailure as failure:
                if failure.status != 404:
                    raise
                return source.manifest(digest).data  # a manifest that an index names

        return await self._do(read)

    async def blob(self, digest: str, size: int, take: Take) -> None:
        source = self._source()

        def read() -> None:
            for piece in source.blob(digests.check(digest), size):
                take(piece)

        await self._do(read)

    def _source(self) -> Repository:
        assert self._found is not None, "top() comes first"
        return self._found


class ToRegistry(_Place):
    """A Target."""

    def __init__(self, job: Job, reference: str, credentials: Asked) -> None:
        super().__init__(job, reference, credentials)
        self._found: Repository | None = None
        self._finding = asyncio.Lock()

    async def _target(self, digest: str) -> Repository:
        async with self._finding:
            if self._found is None:
                ask = self.session.first
                self._found = (
                    await self._do(lambda: ask(self.named, lambda one: one.has_blob(digest), need=PUSH))
                )[0]
            return self._found

    async def blob(self, digest: str, size: int, open_: Open) -> None:
        target = await self._target(digest)

        def send() -> None:
            if not target.has_blob(digest):
                uploads.upload(target, digest, size, open_, lambda count: None)

        await self._do(send)

    async def manifest(self, media_type: str, data: bytes, *, tag: bool = True) -> None:
        """Under the tag, or by its digest alone: what an index leads to."""
        target = await self._target(digests.of(data))
        reference = self.named.tag if tag else digests.of(data)
        await self._do(lambda: target.put_manifest(reference, media_type, data))

"""The builder's parts, built and held: what all builds of one engine share.

    builder = await builder_of(engine)                 made with the first build, closed with the engine
    job = builder.begin(client, progress, RunOptions())
    results = await solve(job, graph, refs)            solver/solve.py
    job.close()

Not here: what a build asks for (plan/), and how it is told (the doors).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from onggi.builder.cache.cache import Cache
from onggi.builder.cache.prune import Keep, prune
from onggi.builder.solver.job import Job, RunOptions, Shared
from onggi.engine.offload import Offload
from onggi.errors import Unavailable
from onggi.images.collect import collect
from onggi.store import build_cache as rows
from onggi.store.images import unneeded_blobs

if TYPE_CHECKING:
    from onggi.builder.classic.agents import Agents
    from onggi.builder.classic.directories import Kept
    from onggi.builder.classic.listing import Listed
    from onggi.builder.client import BuildClient
    from onggi.builder.executors.shell import Shell
    from onggi.builder.failed import Held
    from onggi.builder.progress import Progress
    from onggi.engine.engine import Engine

OFFERS_MAX = 64
OFFER_SECONDS = 60.0
WORKERS = max(4, 2 * (os.cpu_count() or 1))
log = logging.getLogger(__name__)


class Builder:
    """One for an engine. `work` is a pool of its own, so that copies do not hold up containers."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.cache = Cache(engine.images)
        self.work = Offload(WORKERS)
        self.processes = asyncio.Semaphore(WORKERS)
        self.jobs: dict[str, Job] = {}
        self.shared: dict[str, Shared] = {}  # by key: what runs now, for every build that wants it
        self.offers: dict[str, dict[str, bytes]] = {}  # secrets for builds to come, by build id
        # caches in directories of clients: classic/directories.py
        self.layouts: dict[tuple[str, str, str], Kept] = {}
        self.held: dict[str, Held] = {}  # builds that wait with a failed step, by its id
        self.shells: dict[str, Shell] = {}  # in failed steps, by their ids
        self.contexts: dict[str, Listed] = {}  # by build id: classic/listing.py
        self.agents: dict[str, Agents] = {}  # of clients, by build id: classic/agents.py
        self.rewritten: dict[tuple[str, int], str] = {}  # layers with other times: outputs/bundle.py
        self.selections: dict[str, str] = {}
        self.mount_locks: dict[str, asyncio.Lock] = {}
        self.layer_locks: dict[str, asyncio.Lock] = {}  # of layers that are brought from elsewhere

    async def open(self) -> None:
        """Take up what a former engine left."""
        for name in await self.work(self.cache.recover):
            log.info("removed build cache record %s: it was not whole", name)

    def begin(
        self,
        client: BuildClient,
        progress: Progress,
        options: RunOptions | None = None,
        *,
        flow: Callable[[], Awaitable[None]] | None = None,
        build_id: str = "",
    ) -> Job:
        """A new build; whoever began it calls close(). `build_id` is the client's name for it."""
        job = Job(self, client, progress, options or RunOptions(), flow=flow, build_id=build_id)
        self.jobs[job.id] = job
        return job

    async def sweep(self, job: Job) -> None:
        """Remove what a build that has ended packed for an output, unless an image or a record has it now."""
        await self.work(self._sweep, job)

    def _sweep(self, job: Job) -> None:
        """Of most builds nothing is left over: then a few look-ups are all."""
        images = self.engine.images
        unneeded = unneeded_blobs(images.database, sorted(job.packed))
        left = [digest for digest in unneeded if images.blobs.exists(digest)]
        if left:
            collect(images, left)

    async def trim(self) -> None:
        """Bring the cache below its cap: leaves first, the least recently used of them first."""
        await self.work(self._trim)

    def _trim(self) -> None:
        cap = self.engine.config.build_cache_bytes
        if cap < 0:
            return
        if not cap:
            facts = os.statvfs(self.engine.paths.root)
            cap = facts.f_blocks * facts.f_frsize // 10
        if rows.total(self.cache.database) > cap:
            report = prune(
                self.cache, self.engine.images, lambda _: True, everything=True, keep=Keep(used_bytes=cap)
            )
            log.info("removed %d build cache records: the cache is full", len(report.caches_deleted or ()))

    def offer(self, build_id: str, secrets: dict[str, bytes]) -> None:
        """Keep secrets in memory for the build that will be begun so; for a minute at most."""
        if len(self.offers) >= OFFERS_MAX:
            raise Unavailable(f"more than {OFFERS_MAX} builds were given secrets and have not begun")
        self.offers[build_id] = secrets
        asyncio.get_running_loop().call_later(OFFER_SECONDS, self.offers.pop, build_id, None)

    def cancel(self, build_id: str) -> None:
        """End the builds that a client calls so."""
        for job in list(self.jobs.values()):
            if job.build_id == build_id:
                job.cancel()

    async def close(self) -> None:
        """End all builds, and wait for their ends."""
        for job in list(self.jobs.values()):
            job.cancel()
        await asyncio.gather(*(job.ended.wait() for job in list(self.jobs.values())))
        self.work.close()


_builders: WeakKeyDictionary[Engine, asyncio.Future[Builder]] = WeakKeyDictionary()


async def builder_of(engine: Engine) -> Builder:
    """The builder of an engine: made, and what a former one left taken up, when it is first asked for."""
    found = _builders.get(engine)
    if found is None:
        found = _builders[engine] = asyncio.get_running_loop().create_future()
        try:
            builder = Builder(engine)
            await builder.open()
        except BaseException as error:
            del _builders[engine]
            found.set_exception(error)
            found.exception()  # whoever waits sees it
            raise
        engine.before_close(builder.close)
        found.set_result(builder)
    return await asyncio.shield(found)

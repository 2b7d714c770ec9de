"""Pulls and pushes under way: each is a job of the engine that any number of clients listen to.

    stream = await engine.transfers.join(key, work)     begins the job, or joins the one that has this key
    work(say, job)                                      runs in a thread of its own

A job keeps the lines that it said, and of running figures only the newest for each layer, so that who joins
late sees where it stands and who reads slowly costs nothing. When its last client goes away the job is
cancelled; what it brought so far is kept (images/incoming.py). Used from the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from onggi import __version__
from onggi.errors import OnggiError, System
from onggi.images.progress import Progress, failure

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.registry.credentials import Credentials
    from onggi.registry.registries import Job, Registries

log = logging.getLogger(__name__)

Say = Callable[[Progress], None]
Work = Callable[[Say, "Job"], None]


class Transfers:
    """Owned by the engine."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, ...], Transfer] = {}
        self._registries: Registries | None = None

    def registries(self, config: EngineConfig) -> Registries:
        """All registries, by the settings of now. Their library is loaded when it is first needed."""
        from onggi.registry.endpoints import Settings
        from onggi.registry.registries import Registries

        settings = Settings(
            insecure=config.insecure_registries,
            mirrors=config.registry_mirrors,
            registries_conf=config.registries_conf,
            certs_dirs=config.certs_dirs,
            offline=config.offline,
            attempts=config.max_download_attempts,
            proxies=config.proxies,
        )
        if self._registries is None:
            self._registries = Registries(settings, user_agent=f"onggi/{__version__}")
        self._registries.settings = settings
        return self._registries

    async def join(
        self, key: tuple[str, ...], config: EngineConfig, credentials: Credentials, work: Work
    ) -> AsyncIterator[bytes]:
        """The lines of a job. Raises what it raises before its first line."""
        transfer = self._running.get(key)
        if transfer is None or transfer.cancelled:
            transfer = Transfer(work, self.registries(config).job(credentials))
            self._running[key] = transfer
            transfer.start(lambda: self._ended(key))
        listener = Listener(transfer)
        try:
            await listener.wait()
        except BaseException:
            await listener.aclose()
            raise
        return listener

    def _ended(self, key: tuple[str, ...]) -> None:
        transfer = self._running.get(key)
        if transfer is not None and transfer.ended.is_set():
            del self._running[key]

    async def close(self) -> None:
        """Cancel every job, and wait for their ends."""
        listed = list(self._running.values())
        for transfer in listed:
            transfer.cancel()
        for transfer in listed:
            await transfer.ended.wait()


class Transfer:
    """One job and what it said."""

    def __init__(self, work: Work, job: Job) -> None:
        self._work = work
        self._job = job
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.said: list[bytes] = []
        self.figures: dict[str, tuple[int, bytes]] = {}  # by layer: serial number, line
        self.serial = 0
        self.ended = asyncio.Event()
        self.error: BaseException | None = None
        self.listeners = 0
        self.cancelled = False

    def start(self, at_end: Callable[[], None]) -> None:
        threading.Thread(target=self._run, args=(at_end,), name="transfer", daemon=True).start()

    def cancel(self) -> None:
        self.cancelled = True
        self._job.cancel()

    def leave(self) -> None:
        """One client less."""
        self.listeners -= 1
        if not self.listeners and not self.ended.is_set():
            self.cancel()

    async def news(self) -> None:
        """Wait until there is more, or it has ended."""
        if not self.ended.is_set():
            await self._news.wait()

    def _run(self, at_end: Callable[[], None]) -> None:
        error: BaseException | None = None
        try:
            with self._job:
                self._work(self._say, self._job)
        except OnggiError as failed:
            error = failed
        except BaseException as failed:
            log.error("a transfer failed: %s", failed, exc_info=failed)
            error = System(f"internal error: {type(failed).__name__} (the engine's log has more)")
        self._loop.call_soon_threadsafe(self._end, error, at_end)

    def _end(self, error: BaseException | None, at_end: Callable[[], None]) -> None:
        self.error = error
        self.ended.set()
        self._wake()
        at_end()

    def _say(self, line: Progress) -> None:
        self._loop.call_soon_threadsafe(self._take, line)

    def _take(self, line: Progress) -> None:
        self.serial += 1
        if line.progress:
            self.figures[line.id] = (self.serial, line.encode())
        else:
            self.figures.pop(line.id, None)
            self.said.append(line.encode())
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Listener:
    """What one client hears: an iterator of lines whose `aclose` leaves the job."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer: Transfer | None = transfer
        transfer.listeners += 1
        self._ready: deque[bytes] = deque()
        self._heard = 0
        self._serial = 0

    async def wait(self) -> None:
        """Until there is a line. Raises the job's error where none came before it."""
        transfer = self._transfer
        assert transfer is not None
        while not transfer.said and not transfer.ended.is_set():
            await transfer.news()
        if not transfer.said and transfer.error is not None:
            raise transfer.error

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> bytes:
        while (transfer := self._transfer) is not None:
            if not self._ready:
                self._ready.extend(self._more(transfer))
            if self._ready:
                return self._ready.popleft()
            if transfer.ended.is_set():
                await self.aclose()
                if isinstance(transfer.error, OnggiError):
                    return failure(transfer.error.message).encode()
            else:
                await transfer.news()
        raise StopAsyncIteration

    def _more(self, transfer: Transfer) -> list[bytes]:
        fresh = [line for serial, line in transfer.figures.values() if serial > self._serial]
        news = [*transfer.said[self._heard :], *fresh]
        self._heard, self._serial = len(transfer.said), transfer.serial
        return news

    async def aclose(self) -> None:
        """Hear no more; a second call does nothing."""
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            transfer.leave()

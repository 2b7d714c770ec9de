"""Layers that come or go side by side: what is said of each, and the first failure, which ends the others."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_EXCEPTION, Future, wait

from onggi.engine.images.transfers import Say
from onggi.images.progress import INTERVAL_S, Detail, Progress, bar
from onggi.registry.registries import Job


class Watched:
    """One layer's progress, ten lines a second at most."""

    def __init__(self, job: Job, say: Say, name: str, size: int) -> None:
        self._job = job
        self._say = say
        self._name = name
        self._size = size
        self._last = 0.0

    def check(self) -> None:
        self._job.connections.check()

    def received(self, count: int) -> None:
        now = time.monotonic()
        if now - self._last < INTERVAL_S:
            return
        self._last = now
        detail = Detail(count, self._size)
        self._say(
            Progress(
                status="Downloading", id=self._name, progress=bar(count, self._size), progress_detail=detail
            )
        )

    def complete(self) -> None:
        self._say(Progress(status="Download complete", id=self._name, progress_detail=Detail()))


def all_of(futures: list[Future[None]], job: Job) -> None:
    """Wait for all; the first failure ends the others, and is raised."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    failed = next((error for error in (future.exception() for future in done) if error), None)
    if failed is not None:
        job.cancel()
        raise failed

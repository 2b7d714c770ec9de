"""The one door between colours: asyncio above, blocking code below.

One bounded pool of threads. A caller that is cancelled waits until its function has ended and only then sees
the cancellation, so that a lock is never given up while the work it protects still runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def to_the_end(work: Awaitable[R]) -> R:
    """Await it. A caller that is cancelled, however often, waits for its end, and sees that only then."""
    running = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            result = await asyncio.shield(running)
            break
        except asyncio.CancelledError as error:
            if running.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return result


class Offload:
    """`await offload(function, *args, **kwargs)` runs it in a thread and returns or raises what it does."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="offload")

    async def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        call = partial(function, *args, **kwargs)
        return await to_the_end(asyncio.wrap_future(self._pool.submit(copy_context().run, call)))

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._pool.shutdown(wait=True)

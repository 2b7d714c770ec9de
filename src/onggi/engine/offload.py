"""The one door between colours: asyncio above, blocking code below.

One bounded pool of threads. A caller that is cancelled waits until its function has ended and only then sees
the cancellation, so that a lock is never given up while the work it protects still runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Offload:
    """`await offload(function, *args, **kwargs)` runs it in a thread and returns or raises what it does."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="offload")

    async def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        call = partial(function, *args, **kwargs)
        work = asyncio.wrap_future(self._pool.submit(copy_context().run, call))
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                result = await asyncio.shield(work)
                break
            except asyncio.CancelledError as error:
                if work.cancelled():
                    raise
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return result

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._pool.shutdown(wait=True)

"""Streams between the event loop and a worker thread, bounded in both directions.

    body_reader(chunks)     an asynchronous body as something that a thread reads from
    iterate(work)           a thread's writes as an asynchronous iterator of bytes
    Begun(inner, leave)     a generator that lets go also where nobody began to read it

A stream has a thread of its own, so that slow clients do not use up the offload's. Leaving the iterator
early makes the thread's next write raise BrokenPipeError; its end is awaited. An error before the first byte
is raised by `iterate` itself, and still becomes a status; a later one is raised from the iterator.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

READ_BYTES = 1 << 20
QUEUED = 16

Write = Callable[[bytes], None]


class BodyReader(io.RawIOBase):
    """Reads, in a thread, what an asynchronous iterator of the loop's thread yields."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._chunks = chunks
        self._loop = loop
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, some at least unless it is the end; all that is left for a negative size."""
        if size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        if not self._rest and not self._ended:
            data = asyncio.run_coroutine_threadsafe(self._gather(), self._loop).result()
            self._ended = not data
            self._rest = memoryview(data)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    async def _gather(self) -> bytes:
        """One change of threads for as much as is at hand, at most about a megabyte."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= READ_BYTES:
                break
        return b"".join(parts)


def body_reader(chunks: AsyncIterator[bytes]) -> BodyReader:
    """For the running loop's thread."""
    return BodyReader(chunks, asyncio.get_running_loop())


class Begun:
    """A generator over something that was opened before it: `leave` lets go of that where nobody began to
    read. The client was gone, and closing a generator that never began runs none of its `finally`.
    """

    def __init__(self, inner: AsyncGenerator[bytes, None], leave: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._leave: Callable[[], Awaitable[None]] | None = leave

    def __aiter__(self) -> Begun:
        return self

    async def __anext__(self) -> bytes:
        self._leave = None
        return await anext(self._inner)

    async def aclose(self) -> None:
        """The reader wants no more; a second call does nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            await leave()
        await self._inner.aclose()


async def iterate(work: Callable[[Write], None]) -> Chunks:
    """Run `work(write)` in a thread; returns when its first bytes are there or it has ended."""
    stream = _Stream(work, asyncio.get_running_loop())
    try:
        first = await stream.queue.get()
    except BaseException:
        await stream.leave()
        raise
    if isinstance(first, BaseException):
        raise first
    return Chunks(stream, first)


class Chunks:
    """An iterator whose `aclose` ends the thread also where reading never began; a generator's would not."""

    def __init__(self, stream: _Stream, first: bytes | None) -> None:
        self._stream = stream
        self._next: list[bytes | None] = [first]

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        item = self._next.pop() if self._next else await self._stream.queue.get()
        if isinstance(item, bytes):
            return item
        await self.aclose()
        if item is None:
            raise StopAsyncIteration
        raise item

    async def aclose(self) -> None:
        """The reader wants no more; a second call does nothing."""
        self._next = [None]
        await self._stream.leave()


class _Stream:
    """The thread and its queue: bytes, then None at the end or the error that ended it."""

    def __init__(self, work: Callable[[Write], None], loop: asyncio.AbstractEventLoop) -> None:
        self.queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(QUEUED)
        self._loop = loop
        self._left = False
        self._done = asyncio.Event()
        self._work = work
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    async def leave(self) -> None:
        """Nobody reads any more: let the thread fail at its next write, and wait for its end."""
        self._left = True
        while not self._done.is_set():
            while not self.queue.empty():
                self.queue.get_nowait()
            try:
                await asyncio.wait_for(self._done.wait(), 0.05)
            except TimeoutError:
                continue

    def _run(self) -> None:
        last: BaseException | None = None
        try:
            self._work(self._write)
        except BaseException as error:
            last = error
        if not self._left:
            self._put(last)
        self._loop.call_soon_threadsafe(self._done.set)

    def _write(self, data: bytes) -> None:
        if self._left:
            raise BrokenPipeError("the client is gone")
        self._put(bytes(data))

    def _put(self, item: bytes | BaseException | None) -> None:
        asyncio.run_coroutine_threadsafe(self.queue.put(item), self._loop).result()

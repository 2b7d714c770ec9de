"""A client that goes away before the first byte: what was opened for him is closed, and no thread stays."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator

import pytest

from onggi.engine import streams
from onggi.engine.containers.archive_root import Archive
from onggi.engine.offload import Offload, to_the_end


class Door:
    """The one part of an engine that an archive asks for."""

    def __init__(self) -> None:
        self.offload = Offload(2)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


async def until_closed(fd: int) -> None:
    deadline = time.monotonic() + 30
    while is_open(fd):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("reads", [0, 1])
def test_an_archive_that_nobody_reads_to_its_end_closes_its_root(reads: int) -> None:
    async def main() -> None:
        door = Door()
        fd = os.open("/", os.O_PATH | os.O_DIRECTORY)

        def write(root_fd: int, pipe: object) -> None:
            while True:
                pipe.write(bytes(1 << 20))  # type: ignore[attr-defined]

        archive = Archive(door, fd, write)  # type: ignore[arg-type]
        for _ in range(reads):
            assert await anext(archive)
        await archive.aclose()
        await archive.aclose()
        await until_closed(fd)
        door.offload.close()

    asyncio.run(main())


@pytest.mark.parametrize("reads", [0, 1])
def test_a_generator_lets_go_once_whether_or_not_it_was_begun(reads: int) -> None:
    async def main() -> None:
        let_go = []

        async def leave() -> None:
            let_go.append("leave")

        async def lines() -> AsyncGenerator[bytes, None]:
            try:
                yield b"one"
                yield b"two"
            finally:
                await leave()

        begun = streams.Begun(lines(), leave)
        for _ in range(reads):
            assert await anext(begun) == b"one"
        await begun.aclose()
        await begun.aclose()
        assert let_go == ["leave"]
        with pytest.raises(StopAsyncIteration):
            await anext(begun)

    asyncio.run(main())


def test_whoever_is_cancelled_twice_still_waits_for_the_end() -> None:
    async def main() -> None:
        ended = asyncio.Event()
        closed = []

        async def close() -> None:
            await ended.wait()
            closed.append(1)

        async def step() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await to_the_end(close())

        task = asyncio.create_task(step())
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        ended.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed == [1]

    asyncio.run(main())


def test_a_stream_that_nobody_began_to_read_ends_its_thread() -> None:
    async def main() -> None:
        before = set(threading.enumerate())

        def work(write: streams.Write) -> None:
            while True:
                write(b"more")

        chunks = await streams.iterate(work)
        (thread,) = set(threading.enumerate()) - before
        await chunks.aclose()
        deadline = time.monotonic() + 30
        while thread.is_alive():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)

    asyncio.run(main())

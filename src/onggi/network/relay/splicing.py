"""Bytes of a long transfer, which never come into the process: splice(2) from socket to pipe to socket.

A pipe costs two descriptors, so there are a few of them, for the connections that carry the most; what finds
none is copied (streams.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import Callable
from typing import Any

PIPES = 32
PIPE_BYTES = 1 << 20  # pipe(7), /proc/sys/fs/pipe-max-size


class Pipe:
    """Empty between two transfers; both ends do not block."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError):  # a user has so many pages of pipes: then it is a small one
            fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)


class Pipes:
    """Those that are not in use are kept."""

    def __init__(self, most: int = PIPES) -> None:
        self._left = most
        self._kept: list[Pipe] = []

    def take(self) -> Pipe | None:
        """None where all are in use, or no descriptor is left."""
        if self._kept:
            return self._kept.pop()
        if not self._left:
            return None
        try:
            found = Pipe()
        except OSError:
            return None
        self._left -= 1
        return found

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        if empty:
            self._kept.append(pipe)
            return
        pipe.close()
        self._left += 1


async def carry(source: socket.socket, sink: socket.socket, pipes: Pipes, pipe: Pipe) -> None:
    """Everything up to the source's end; the pipe is given back. Raises OSError."""
    inside = 0
    try:
        while True:
            inside = await _moved(source.fileno(), pipe.into, PIPE_BYTES, source.fileno(), reads=True)
            if not inside:
                return
            while inside:
                inside -= await _moved(pipe.out, sink.fileno(), inside, sink.fileno(), reads=False)
    finally:
        pipes.give_back(pipe, empty=not inside)


async def _moved(source: int, sink: int, count: int, waits_for: int, *, reads: bool) -> int:
    while True:
        try:
            return os.splice(source, sink, count, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            await _ready(waits_for, reads=reads)


async def _ready(fd: int, *, reads: bool) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    add: Callable[..., Any] = loop.add_reader if reads else loop.add_writer
    remove: Callable[..., Any] = loop.remove_reader if reads else loop.remove_writer
    add(fd, _set, done)
    try:
        await done
    finally:
        remove(fd)


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)

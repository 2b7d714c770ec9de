"""TCP, and SCTP's one-to-one sockets: each connection is carried both ways until both sides have ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from onggi.network.relay import splicing
from onggi.network.relay.splicing import Pipes

BYTES = 1 << 16
LONG_BYTES = 1 << 20
SCTP = 132  # has no splice
CONNECT_SECONDS = 10.0
PAUSE_SECONDS = 0.1  # where the process has no descriptor left


class Room:
    """How many connections the process may have: two descriptors each."""

    def __init__(self, connections: int) -> None:
        self._free = asyncio.Semaphore(connections)
        self.pipes = Pipes()
        self.tasks: set[asyncio.Task[None]] = set()

    async def enter(self) -> None:
        await self._free.acquire()

    def carry(self, work: asyncio.Task[None]) -> None:
        self.tasks.add(work)
        work.add_done_callback(self._left)

    def leave(self) -> None:
        self._free.release()

    def _left(self, work: asyncio.Task[None]) -> None:
        self.tasks.discard(work)
        self._free.release()


async def serve(listener: socket.socket, address: str, port: int, room: Room) -> None:
    """Accept until cancelled; what waits for room waits in the kernel's queue."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        await room.enter()
        try:
            client, _ = await loop.sock_accept(listener)
        except BaseException as error:
            room.leave()
            if not isinstance(error, OSError):
                raise
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        client.setblocking(False)
        room.carry(loop.create_task(_carry(client, address, port, room.pipes)))


async def _carry(client: socket.socket, address: str, port: int, pipes: Pipes) -> None:
    """One connection; a target that refuses ends the client's with a reset, as a closed port would."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with client, socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, client.proto) as target:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(target, (address, port))
        except (OSError, TimeoutError):
            _reset(client)
            return
        for one in (client, target):
            with contextlib.suppress(OSError):  # SCTP has none
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = (_copy(client, target, pipes), _copy(target, client, pipes))
        done = await asyncio.gather(*ways, return_exceptions=True)
        if any(isinstance(error, OSError) for error in done):
            _reset(client)


async def _copy(source: socket.socket, sink: socket.socket, pipes: Pipes) -> None:
    """One direction, with its end. Raises OSError."""
    try:
        await _through(source, sink, pipes)
    except OSError:
        for one in (source, sink):  # the other direction has to end, too
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        raise
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


async def _through(source: socket.socket, sink: socket.socket, pipes: Pipes) -> None:
    """What is short is copied; what turns out to be long is spliced, where a pipe is free."""
    loop = asyncio.get_running_loop()
    buffer = bytearray(BYTES)
    view = memoryview(buffer)
    carried = 0
    while count := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(sink, view[:count])
        carried += count
        if carried >= LONG_BYTES and source.proto != SCTP and (pipe := pipes.take()) is not None:
            await splicing.carry(source, sink, pipes, pipe)
            return


def _reset(client: socket.socket) -> None:
    """Its close() sends RST: SO_LINGER with no seconds (socket(7))."""
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

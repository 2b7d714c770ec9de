"""The other half of a companion (companion.py): what its process does with the engine's connection.

It serves one engine at a time, takes messages in the order in which they came, and ends when it has nothing
left and no engine is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Any

import msgspec

LINGER_SECONDS = 5.0


class CompanionProcess:
    """A message is answered by `_on_OP(message, fds)`; who answers owns the descriptors."""

    packet_bytes: int
    descriptors: int  # of one message, at most

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._engine: socket.socket | None = None
        self._ended = asyncio.Event()
        self._turn = asyncio.Lock()

    def idle(self) -> bool:
        """Nothing is served."""
        raise NotImplementedError

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        loop.add_reader(self._listener.fileno(), self._accept)
        loop.call_later(LINGER_SECONDS, self._end_if_idle)
        await self._ended.wait()

    def _accept(self) -> None:
        """A new engine takes the place of the former one."""
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            self._let_go()
            connection.setblocking(False)
            self._engine = connection
            asyncio.get_running_loop().add_reader(connection.fileno(), self._readable, connection)

    def _let_go(self) -> None:
        if self._engine is not None:
            asyncio.get_running_loop().remove_reader(self._engine.fileno())
            self._engine.close()
            self._engine = None

    def _readable(self, connection: socket.socket) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(connection, self.packet_bytes, self.descriptors)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self._let_go()
            self._end_if_idle()
            return
        asyncio.get_running_loop().create_task(self._in_turn(data, fds))

    async def _in_turn(self, data: bytes, fds: list[int]) -> None:
        async with self._turn:
            message = msgspec.json.decode(data)
            await getattr(self, f"_on_{message['op']}")(message, fds)

    def _say(self, answer: object, fds: tuple[int, ...] = ()) -> None:
        if self._engine is not None:
            with contextlib.suppress(OSError):
                socket.send_fds(self._engine, [msgspec.json.encode(answer)], fds)

    async def _on_quit(self, message: dict[str, Any], fds: list[int]) -> None:
        if self.idle():
            self._ended.set()

    def _end_if_idle(self) -> None:
        if self._engine is None and self.idle():
            self._ended.set()


def serve(listener_fd: int, process: Callable[[socket.socket], CompanionProcess]) -> None:
    """Run until nobody needs the process any more."""

    async def all_of_it() -> None:
        await process(listener).run()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=listener_fd) as listener:
        asyncio.run(all_of_it())

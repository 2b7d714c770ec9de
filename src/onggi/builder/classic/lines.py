"""The lines of an answer on their way to the client: given at once, taken when the client reads."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

QUEUED_MAX = 256  # lines that the client has not taken, before those who write are asked to wait


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Why a build failed. `exit_code`: of the process that failed, else 0; `process` is its command.
    `excerpt`: the lines of the Dockerfile that are meant.
    """

    message: str
    process: str = ""
    exit_code: int = 0
    excerpt: str = ""


class Lines:
    """A queue of JSON lines. For the event loop's thread."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._drained = asyncio.Event()
        self._drained.set()
        self._ended = False

    def line(self, body: dict[str, Any]) -> None:
        self.raw(msgspec.json.encode(body) + b"\r\n")

    def raw(self, line: bytes) -> None:
        self._lines.put_nowait(line)
        if self._lines.qsize() >= QUEUED_MAX:
            self._drained.clear()

    def end(self) -> None:
        self._lines.put_nowait(None)

    async def next(self) -> bytes | None:
        """The lines that are there, at least one; None at the end."""
        if self._ended:
            return None
        line = await self._lines.get()
        taken = []
        while line is not None:
            taken.append(line)
            if self._lines.empty():
                break
            line = self._lines.get_nowait()
        self._ended = line is None
        if self._lines.qsize() < QUEUED_MAX:
            self._drained.set()
        return b"".join(taken) or None

    async def room(self) -> None:
        """Wait until the client has taken most of what there is."""
        await self._drained.wait()

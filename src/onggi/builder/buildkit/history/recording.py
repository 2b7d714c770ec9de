"""What one build tells, from its beginning: for clients that listen later, and for its record.

Kept as serialized StatusResponses of one thing each. Logs and transfers beyond LOGS_MAX are left out, once
said; states of steps and warnings beyond STATES_MAX too, which only a hostile definition comes to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from onggi.builder.buildkit.messages import kind

LOGS_MAX = 2 << 20
STATES_MAX = 8 << 20
CLIPPED = b"\n[the rest of the output is not kept: %d bytes are]\n" % LOGS_MAX
LENGTH_BYTES = 4  # little-endian, before each message of a record's log
STATES = ("vertexes", "warnings")


class Recording:
    """For the event loop's thread."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._used = {True: 0, False: 0}  # bytes of states, and of all else
        self._clipped = False
        self._done: dict[str, bool] = {}  # vertex -> has it completed
        self._cached: set[str] = set()
        self._ended = False
        self._news = asyncio.Event()
        self.warnings = 0

    def add(self, field: str, message: Any) -> None:
        """One vertex, status, log or warning."""
        if field == "vertexes":
            self._done[message.digest] = self._done.get(message.digest, False) or message.HasField(
                "completed"
            )
            if message.cached:
                self._cached.add(message.digest)
        self.warnings += field == "warnings"
        state = field in STATES
        size = message.ByteSize()
        if self._used[state] + size > (STATES_MAX if state else LOGS_MAX):
            if field == "logs" and not self._clipped:
                self._clipped = True
                self._keep("logs", type(message)(
                    vertex=message.vertex, timestamp=message.timestamp, stream=message.stream, msg=CLIPPED
                ))  # fmt: skip
            return
        self._used[state] += size
        self._keep(field, message)

    def _keep(self, field: str, message: Any) -> None:
        self._kept.append(kind("StatusResponse")(**{field: [message]}).SerializeToString())
        self._news.set()

    def steps(self) -> tuple[int, int, int]:
        """How many there are, how many have completed, how many of them were cached."""
        return len(self._done), sum(self._done.values()), len(self._cached)

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def messages(self) -> AsyncIterator[Any]:
        """StatusResponses from the beginning to the build's end."""
        place = 0
        while True:
            if place < len(self._kept):
                place += 1
                yield kind("StatusResponse").FromString(self._kept[place - 1])
            elif self._ended:
                return
            else:
                self._news.clear()
                await self._news.wait()

    def blob(self) -> bytes:
        return b"".join(len(one).to_bytes(LENGTH_BYTES, "little") + one for one in self._kept)


def read(blob: bytes) -> list[Any]:
    """The StatusResponses of a record's log."""
    found = []
    place = 0
    while place < len(blob):
        start = place + LENGTH_BYTES
        place = start + int.from_bytes(blob[place:start], "little")
        found.append(kind("StatusResponse").FromString(blob[start:place]))
    return found

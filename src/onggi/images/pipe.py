"""A bounded pipe between two threads of one process: bytes in at one end, a file-like reader at the other.

Either end may close early: the writer then sees BrokenPipeError, the reader the writer's error or the end.
"""

from __future__ import annotations

import threading
from collections import deque

BOUND_BYTES = 8 << 20


class Pipe:
    """Owns its buffer; `write` blocks while more than `bound` bytes wait."""

    def __init__(self, bound: int = BOUND_BYTES) -> None:
        self._bound = bound
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._taken = 0  # bytes of the first part that have been read
        self._ended = False
        self._error: BaseException | None = None
        self._broken = False
        self._changed = threading.Condition()

    def write(self, data: bytes) -> None:
        """Append; waits for room. Raises BrokenPipeError when the reader is gone."""
        if not data:
            return
        with self._changed:
            while self._waiting > self._bound and not self._broken:
                self._changed.wait()
            if self._broken:
                raise BrokenPipeError("the reader is gone")
            self._parts.append(data)
            self._waiting += len(data)
            self._changed.notify_all()

    def offer(self, data: bytes) -> bool:
        """Append without waiting, for a thread that must not; whether there is room for more.

        Raises BrokenPipeError when the reader is gone.
        """
        with self._changed:
            if self._broken:
                raise BrokenPipeError("the reader is gone")
            if data:
                self._parts.append(data)
                self._waiting += len(data)
                self._changed.notify_all()
            return self._waiting <= self._bound

    def drain(self) -> None:
        """Wait until half of the room is free, so that a writer is not woken for every read."""
        with self._changed:
            while self._waiting > self._bound // 2 and not self._broken:
                self._changed.wait()

    def end(self, error: BaseException | None = None) -> None:
        """No more comes; the reader gets what is left, then the end or the error."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, some at least unless it is the end; all that is left for a negative size."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        with self._changed:
            while not self._parts and not self._ended:
                self._changed.wait()
            if not self._parts:
                if self._error is not None:
                    raise self._error
                return b""
            data = self._parts[0]
            if self._taken or len(data) > size:
                start, self._taken = self._taken, self._taken + size
                data = data[start : self._taken]
            if self._taken == 0 or self._taken >= len(self._parts[0]):
                self._parts.popleft()
                self._taken = 0
            self._waiting -= len(data)
            self._changed.notify_all()
            return data

    def close(self) -> None:
        """The reader wants no more."""
        with self._changed:
            self._broken = True
            self._parts.clear()
            self._waiting = self._taken = 0
            self._changed.notify_all()

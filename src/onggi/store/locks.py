"""One daemon per root: an flock(2) on ROOT/lock, held until the process ends.

The kernel gives an flock up when its last descriptor closes, so a killed daemon never leaves a stale lock.
The descriptor is close-on-exec: shims and containers do not hold it.
"""

from __future__ import annotations

import fcntl
import os

from onggi.errors import Conflict


class Lock:
    """The lock of a root; a context manager."""

    def __init__(self, path: str) -> None:
        """Take it or raise Conflict, which names the holder's pid where it is known."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise Conflict(
                f"another engine (pid {holder}) uses {os.path.dirname(path)}: lock {path} is held"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock up; the file stays, its deletion would race with the next one's open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

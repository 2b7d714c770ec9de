"""Who lives in a network namespace: one process is watched, and when it ends another is looked for.

A descriptor says nothing about the processes of a namespace, and a search of /proc every second is dear on a
busy host; so there is a search only where the watched one has ended.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

Place = tuple[int, int]


def place(pid: int) -> Place:
    """(device, inode) of a process's network namespace. Raises OSError."""
    found = os.stat(f"/proc/{pid}/ns/net")
    return found.st_dev, found.st_ino


def lives(pid: int, where: Place) -> bool:
    """Is there such a process in the namespace? One that may not be looked at (pasta) is not."""
    try:
        return place(pid) == where
    except OSError:
        return False


def find(where: Place) -> int | None:
    """The pid of a process in the namespace, or None."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return next((pid for pid in pids if lives(pid, where)), None)


class Members:
    """Calls `left` once, when nobody lives in the namespace any more."""

    def __init__(self, left: Callable[[], None]) -> None:
        self._left = left
        self._pidfd = -1
        self._netns_fd = -1  # while it is held, no other namespace gets its inode
        self.where: Place | None = None
        self._pid = 0

    def watch(self, pid: int) -> None:
        """A process of the namespace. Raises OSError (it has ended)."""
        where = place(pid)
        pidfd = os.pidfd_open(pid)
        if self._netns_fd < 0:
            self._netns_fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.close()
        self.where, self._pid, self._pidfd = where, pid, pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._ended)

    def somebody(self) -> int:
        """The pid of one who lives there at this moment; 0 for nobody."""
        if self.where is None:
            return 0
        return self._pid if lives(self._pid, self.where) else find(self.where) or 0

    def close(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _ended(self) -> None:
        self.close()
        assert self.where is not None  # it was watched
        while (pid := find(self.where)) is not None:
            try:
                self.watch(pid)
                return
            except OSError:
                continue  # it has ended meanwhile
        self._left()

"""A container without a cgroup: a rootless engine that nobody delegated one to. The calls are Cgroup's.

Its processes are known by init's pid namespace, or by init's mount namespace where it has the host's pids.
What leaves both cannot be found, nor what is left of the latter when init has ended. Nothing is limited,
nothing can be frozen; what is used is added up from /proc, without what ended processes of execs took.
"""

from __future__ import annotations

import os
import signal
import time

from onggi.errors import System, Unavailable
from onggi.kernel import processes
from onggi.runtime.cgroups.stats import MemoryUse, Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECONDS = 5.0
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Absent:
    """The processes of one run. `pid` is init's, 0: there is none; `ticks` its start in clock ticks."""

    __slots__ = ("_pid", "_ticks", "path")

    def __init__(self, path: str, pid: int, ticks: int) -> None:
        self.path = path
        self._pid = pid
        self._ticks = ticks

    def exists(self) -> bool:
        return bool(self.pids())

    def directories(self) -> list[str]:
        return []

    def pids(self) -> list[int]:
        """Sorted, init the first of its namespace; empty when init has ended."""
        if not self._pid or (stat := _stat(self._pid)) is None or int(stat[19]) != self._ticks:
            return []
        kind = "mnt" if _namespace(self._pid, "pid") == _namespace(os.getpid(), "pid") else "pid"
        inode = _namespace(self._pid, kind)
        return sorted(
            int(name)
            for name in os.listdir("/proc")
            if name.isdigit() and _namespace(int(name), kind) == inode
        )

    def frozen(self) -> bool:
        return False

    def freeze(self) -> None:
        """Raises Unavailable."""
        raise Unavailable(
            "cannot pause without cgroups: this rootless engine has none; it needs cgroup v2, "
            "and a cgroup that systemd delegates to the user"
        )

    def thaw(self) -> None:
        return

    def kill(self, number: int = signal.SIGKILL) -> None:
        for pid in [self._pid, *self.pids()] if self.pids() else []:
            try:
                pidfd = processes.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                if pid in self.pids():  # it is still the one that was meant
                    processes.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                continue
            finally:
                os.close(pidfd)

    def empty(self, seconds: float = _SECONDS) -> bool:
        deadline = time.monotonic() + seconds
        while self.exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def remove(self, seconds: float = _SECONDS) -> None:
        """Raises System where processes stay."""
        if not self.empty(seconds):
            raise System(f"container {self.path}: still busy, processes {self.pids()}")

    def update(self, resources: dict[str, Any]) -> None:
        """Raises Unavailable: what cannot be held to was taken out before, with a warning."""
        raise Unavailable(f"cannot limit {', '.join(sorted(resources))} without cgroups")

    def oom_kills(self) -> int:
        return 0

    def stats(self) -> Stats:
        """Raises System where the container has ended."""
        pids = self.pids()
        if not pids:
            raise System(f"container {self.path} has no processes")
        found = Stats()
        resident = 0
        for pid in pids:
            stat = _stat(pid)
            if stat is None:
                continue
            reaped = pid == self._pid  # init's count has what was orphaned, too
            found.cpu_user += (int(stat[11]) + reaped * int(stat[13])) * _TICK_NS
            found.cpu_kernel += (int(stat[12]) + reaped * int(stat[14])) * _TICK_NS
            resident += int(stat[21]) * _PAGE
        found.cpu_total = found.cpu_user + found.cpu_kernel
        found.pids = len(pids)
        found.memory = MemoryUse(usage=resident)
        return found


def _namespace(pid: int, kind: str) -> int:
    """0 where it has ended, or is not ours to look at."""
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return 0


def _stat(pid: int) -> list[bytes] | None:
    """The fields of proc_pid_stat(5) behind the name: 0 state, 11 utime, 12 stime, 13 cutime, 14 cstime,
    19 starttime, 21 rss."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None

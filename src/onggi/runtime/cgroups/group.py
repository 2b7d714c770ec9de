"""A handle on one existing cgroup: its processes, freezing, killing, limits, notices of OOM, removal.

    group = open_group(layout, "/onggi/ID")
    group.freeze() ; group.kill() ; group.remove()

Owns nothing but the paths: every call goes to the kernel. A group that is gone has no processes, and removing
it again is no error. Not here: making it (steps.py), reading its figures (stats.py).
Source: cgroups(7); Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, memory.rst (9, 10),
cgroup-v2.rst.
"""

from __future__ import annotations

import errno
import os
import time

from onggi.errors import System
from onggi.kernel import bpf
from onggi.runtime.cgroups import devices as device_rules
from onggi.runtime.cgroups import limits_v1, limits_v2, stats
from onggi.runtime.cgroups.layout import Layout, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

SIGKILL = 9  # the signal module loads enum: 6 ms
FREEZE_SECONDS = 10.0
REMOVE_SECONDS = 5.0
_GONE = (errno.ENOENT, errno.ENODEV)


def open_group(layout: Layout, path: str) -> Cgroup:
    """A handle; the group need not exist."""
    return Cgroup(layout, checked(path))


def directories(layout: Layout, path: str) -> list[str]:
    """Every directory that `path` has on this machine; v1 hierarchies whether they have it or not."""
    found = [root + path for root in layout.v1_roots()]
    if layout.unified is not None and (not layout.v1 or os.path.isdir(layout.unified + path)):
        found.append(layout.unified + path)
    return found


class Cgroup:
    """One group of a layout, in all of its hierarchies."""

    __slots__ = ("layout", "path")

    def __init__(self, layout: Layout, path: str) -> None:
        self.layout = layout
        self.path = path

    @property
    def _main(self) -> str:
        """The directory whose members are the group's: v2's, else one that a container cannot leave alone."""
        for controller in ("pids", "devices", "memory", "cpu"):
            if controller in self.layout.v1:
                return self.layout.v1[controller] + self.path
        if self.layout.unified is not None:
            return self.layout.unified + self.path
        return self.layout.v1_roots()[0] + self.path

    def exists(self) -> bool:
        return os.path.isdir(self._main)

    def directories(self) -> list[str]:
        return directories(self.layout, self.path)

    def pids(self) -> list[int]:
        """Every process in the group and in the groups below it, sorted; pids of the caller's namespace."""
        found: set[int] = set()
        for directory, _, _ in os.walk(self._main):
            found.update(int(pid) for pid in _read(f"{directory}/cgroup.procs").split())
        return sorted(found)

    def frozen(self) -> bool:
        if "freezer" in self.layout.v1:
            return _read(f"{self.layout.directory('freezer', self.path)}/freezer.state").strip() != "THAWED"
        return _read(f"{self._main}/cgroup.freeze").strip() == "1"

    def freeze(self) -> None:
        """Stop every process and wait until all are stopped. Raises System after ten seconds."""
        if "freezer" in self.layout.v1:
            state = f"{self.layout.directory('freezer', self.path)}/freezer.state"

            def settled() -> bool:
                # A fork during the freeze leaves FREEZING behind: writing again catches the newcomer.
                _write(state, "FROZEN")
                return _read(state).strip() == "FROZEN"

        else:
            _write(f"{self._main}/cgroup.freeze", "1")

            def settled() -> bool:
                return "frozen 1" in _read(f"{self._main}/cgroup.events")

        if not _until(settled, FREEZE_SECONDS):
            self.thaw()
            raise System(f"cgroup {self.path}: processes do not freeze")

    def thaw(self) -> None:
        if "freezer" in self.layout.v1:
            _write(f"{self.layout.directory('freezer', self.path)}/freezer.state", "THAWED")
        else:
            _write(f"{self._main}/cgroup.freeze", "0")

    def kill(self, number: int = SIGKILL) -> None:
        """Send a signal to every process of the group. SIGKILL leaves none behind, even while they fork."""
        if number == SIGKILL and "freezer" not in self.layout.v1:
            try:
                return _write(f"{self._main}/cgroup.kill", "1")  # 5.14
            except OSError as failure:
                if failure.errno != errno.ENOENT:
                    raise
        if not self.exists():
            return None
        was_frozen = self.frozen()
        if not was_frozen:
            self.freeze()
        try:
            for pid in self.pids():
                _signal(pid, number)
        finally:
            if number == SIGKILL or not was_frozen:
                self.thaw()  # v1: a frozen process does not even die
        return None

    def empty(self, seconds: float = REMOVE_SECONDS) -> bool:
        """Wait until no process is left."""
        return _until(lambda: not self.pids(), seconds)

    def update(self, resources: dict[str, Any]) -> None:
        """Change the limits that `resources` names, as in OCI's linux.resources; the others stay."""
        v2 = self.layout.mode == "v2"
        pending = list((limits_v2 if v2 else limits_v1).writes(resources, self.layout))
        for controller, file, text in _in_order(pending, self._memsw_limit(), self._quota_and_period()):
            _write(f"{self.layout.directory(controller, self.path)}/{file}", text)
        if resources.get("devices"):
            self._update_devices(resources["devices"], v2)

    def _memsw_limit(self) -> int:
        if "memory" not in self.layout.v1:
            return 0
        text = _read(f"{self.layout.directory('memory', self.path)}/memory.memsw.limit_in_bytes")
        return int(text or 0)

    def _quota_and_period(self) -> tuple[int, int]:
        if "cpu" not in self.layout.v1:
            return -1, 0
        directory = self.layout.directory("cpu", self.path)
        return int(_read(f"{directory}/cpu.cfs_quota_us") or -1), int(
            _read(f"{directory}/cpu.cfs_period_us") or 0
        )

    def _update_devices(self, rules: Iterable[dict[str, Any]], v2: bool) -> None:
        if v2:
            bpf.replace_device_filter(self._main, device_rules.program(rules))
            return
        directory = self.layout.directory("devices", self.path)
        for file, line in device_rules.lines(rules):
            _write(f"{directory}/{file}", line)

    def stats(self) -> stats.Stats:
        """What the kernel has counted. Raises System where the group is gone."""
        if not self.exists():
            raise System(f"cgroup {self.path} does not exist")
        return stats.read(self.layout, self.path)

    def oom_events(self) -> OomWatch:
        """Notices of the OOM killer, as a descriptor to poll."""
        return OomWatch(self.layout, self.path)

    def oom_kills(self) -> int:
        """How many processes the OOM killer has ended in this group."""
        directory = self.layout.directory("memory", self.path)
        v1 = "memory" in self.layout.v1
        return stats.table(f"{directory}/{'memory.oom_control' if v1 else 'memory.events'}").get(
            "oom_kill", 0
        )

    def remove(self, seconds: float = REMOVE_SECONDS) -> None:
        """Remove the group and the groups below it. Raises System where processes stay in it."""
        remaining = self.directories()

        def removed() -> bool:
            remaining[:] = [directory for directory in remaining if not remove_tree(directory)]
            return not remaining

        if not _until(removed, seconds):
            raise System(f"cgroup {remaining[0]}: still busy, processes {self.pids()}")


class OomWatch:
    """A descriptor that is readable when the group was out of memory; `read()` gives the kills since the
    start.

    v1 tells by an eventfd (cgroup.event_control), v2 by IN_MODIFY on memory.events: both are read the same.
    """

    __slots__ = ("_control_fd", "_path", "_v1", "fd")

    def __init__(self, layout: Layout, path: str) -> None:
        directory = layout.directory("memory", path)
        self._v1 = "memory" in layout.v1
        self._path = f"{directory}/{'memory.oom_control' if self._v1 else 'memory.events'}"
        self._control_fd = -1
        if self._v1:
            self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            try:
                self._control_fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                _write(f"{directory}/cgroup.event_control", f"{self.fd} {self._control_fd}")
            except OSError:
                self.close()
                raise
        else:
            self.fd = bpf.watch_modified(self._path)

    def fileno(self) -> int:
        return self.fd

    def read(self) -> int:
        """Take the notice off and give the count of processes killed so far."""
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass  # readable no longer: someone else took the notice
        return stats.table(self._path).get("oom_kill", 0)

    def close(self) -> None:
        for fd in (self.fd, self._control_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self._control_fd = -1

    def __enter__(self) -> OomWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_tree(directory: str) -> bool:
    """Remove a cgroup directory, inner ones first; False where the kernel says it is still in use."""
    try:
        os.rmdir(directory)
        return True
    except OSError as failure:
        if failure.errno in _GONE:
            return True
        if failure.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
    with os.scandir(directory) as entries:
        inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    gone = [remove_tree(path) for path in inner]
    if not all(gone) or not inner:
        return False
    try:
        os.rmdir(directory)
    except OSError as failure:
        return failure.errno in _GONE
    return True


def _in_order(
    pending: list[tuple[str, str, str]], memsw: int, quota: tuple[int, int]
) -> list[tuple[str, str, str]]:
    """v1 refuses memory above memory+swap, and a period that makes the old quota too large: turn pairs
    round.
    """
    files = {file: position for position, (_, file, _) in enumerate(pending)}
    one, two = files.get("memory.limit_in_bytes"), files.get("memory.memsw.limit_in_bytes")
    if one is not None and two is not None and (pending[one][2] == "-1" or int(pending[one][2]) > memsw):
        pending[one], pending[two] = pending[two], pending[one]
    one, two = files.get("cpu.cfs_period_us"), files.get("cpu.cfs_quota_us")
    if one is not None and two is not None and quota[0] > 0 and int(pending[one][2]) < quota[1]:
        pending[one], pending[two] = pending[two], pending[one]
    return pending


def _until(done: Callable[[], bool], seconds: float) -> bool:
    """Poll, from half a millisecond up: these files have no notice."""
    deadline = time.monotonic() + seconds
    pause = 0.0005
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as failure:
        if failure.errno in _GONE:
            return ""
        raise


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as failure:
        raise OSError(failure.errno, f"writing {text!r}: {failure.strerror}", path) from None
    finally:
        os.close(fd)

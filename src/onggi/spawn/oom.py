"""Did the kernel kill a process of the container for want of memory, and when.

    version 1   memory.oom_control: "oom_kill N"; notice by an eventfd named in cgroup.event_control
    version 2   memory.events: "oom_kill N"; notice by poll(2), POLLPRI

Only reads the cgroup; made and removed by steps of the plan. Source: Documentation/admin-guide/cgroup-v1/
memory.rst section 10, cgroup-v2.rst "memory.events".
"""

from __future__ import annotations

import os


def open_watch(directory: str) -> OomWatch:
    """Watch a memory cgroup from now on. Raises OSError where the directory is none."""
    urgent = not os.path.exists(f"{directory}/memory.oom_control")
    name = "memory.events" if urgent else "memory.oom_control"
    counter_fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    if urgent:
        return OomWatch(os.dup(counter_fd), counter_fd, urgent=True)
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    control = os.open(f"{directory}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(control, f"{fd} {counter_fd}".encode())
    finally:
        os.close(control)
    return OomWatch(fd, counter_fd, urgent=False)


class OomWatch:
    """Watches one memory cgroup. `fd` polls readable (v1) or PRI (v2, `urgent`); `count` is the number of
    kills so far. Owns both descriptors."""

    __slots__ = ("counter_fd", "fd", "urgent")

    def __init__(self, fd: int, counter_fd: int, *, urgent: bool) -> None:
        self.fd, self.counter_fd = fd, counter_fd
        self.urgent = urgent

    def acknowledge(self) -> bool:
        """Take the notice; False when it means that the cgroup is being removed."""
        if not self.urgent:
            os.eventfd_read(self.fd)
        return self.count() >= 0

    def count(self) -> int:
        """Kills since the cgroup was made; -1 when it is gone."""
        try:
            text = os.pread(self.counter_fd, 4096, 0)
        except OSError:
            return -1
        for line in text.splitlines():
            if line.startswith(b"oom_kill "):
                return int(line[9:])
        return 0  # version 1 before 4.13 does not say

    def close(self) -> None:
        os.close(self.counter_fd)
        os.close(self.fd)

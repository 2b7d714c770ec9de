"""What `ps` shows for zygote and shims: their arguments, overwritten in place.

The kernel reads /proc/PID/cmdline from the process's own memory (proc_pid_cmdline(5), fields 48 and 49 of
/proc/PID/stat); writing there through /proc/self/mem touches one page of the stack that is private anyway.
"""

from __future__ import annotations

import os

_area: tuple[int, int] = (0, 0)


def prepare() -> None:
    """Find out where our arguments lie; they lie there in forked children, too."""
    global _area
    stat_fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    stat = os.read(stat_fd, 4096)
    os.close(stat_fd)
    fields = stat[stat.rindex(b")") + 2 :].split()
    _area = (int(fields[45]), int(fields[46]))  # zeros where they are hidden from us


def set_title(title: str, name: str) -> None:
    """Show `title` as the command line (cut to the room there is) and `name` (15 bytes) as the command."""
    # Plain reads and writes: making a ctypes buffer after the fork costs each shim copied pages.
    comm_fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(comm_fd, name.encode()[:15])
    os.close(comm_fd)
    start, end = _area
    if not start < end:
        return  # the title stays what it was
    text = title.encode()[: end - start - 1]
    mem_fd = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(mem_fd, text.ljust(end - start, b"\0"), start)
    finally:
        os.close(mem_fd)

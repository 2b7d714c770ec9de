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


def set_title(title: str, pid: int | str = "self") -> None:
    """Show `title` as the command line (cut to the room there is) of this process, or of a forked one.

    Another's is left as it is where we may not write to its memory (rootless: it is not dumpable).
    """
    start, end = _area
    if not start < end:
        return
    text = title.encode()[: end - start - 1]
    try:
        # Plain writes: a ctypes buffer made after a fork costs copied pages.
        mem_fd = os.open(f"/proc/{pid}/mem", os.O_WRONLY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.pwrite(mem_fd, text.ljust(end - start, b"\0"), start)
    finally:
        os.close(mem_fd)


def set_name(name: str) -> None:
    """The command's name of /proc/PID/comm, 15 bytes; forked children keep it."""
    comm_fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(comm_fd, name.encode()[:15])
    os.close(comm_fd)

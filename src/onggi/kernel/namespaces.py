"""Namespaces: making a process in new ones, leaving old ones, joining others. See namespaces(7), clone(2).

Not here: what to join in which order (spawn/).
"""

from __future__ import annotations

import ctypes
import errno
import os

from onggi.kernel.libc import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the signal module imports enum, 6 ms

CLONE_NEWTIME = 0x00000080
CLONE_FILES = 0x00000400
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

# name in /proc/PID/ns, by flag
FILES = {
    CLONE_NEWUSER: "user", CLONE_NEWNS: "mnt", CLONE_NEWPID: "pid", CLONE_NEWNET: "net",
    CLONE_NEWIPC: "ipc", CLONE_NEWUTS: "uts", CLONE_NEWCGROUP: "cgroup", CLONE_NEWTIME: "time",
}  # fmt: skip

_CloneArgs = ctypes.c_uint64 * 11
_clone = syscall(
    "clone", ctypes.c_ulong, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p, ctypes.c_void_p,
    hold_gil=True,
)  # fmt: skip
_clone3 = syscall("clone3", ctypes.c_void_p, ctypes.c_size_t, hold_gil=True)
_unshare = syscall("unshare", ctypes.c_ulong)
_setns = syscall("setns", ctypes.c_int, ctypes.c_int)


def clone(flags: int) -> tuple[int, int]:
    """fork(2) with namespace flags: (pid, pidfd) in the parent, (0, -1) in the child.

    Only for a single-threaded process: no handler of at-fork is run. The raw call keeps libc out of it, so
    that CLONE_PARENT and namespaces work; the child runs on a copy of the parent's stack, as after fork.
    The pidfd is close-on-exec. CLONE_NEWTIME has no bit here (it lies in the exit signal's byte): unshare.
    """
    pidfd = ctypes.c_int(-1)
    pid = _clone(flags | CLONE_PIDFD | signal.SIGCHLD, None, ctypes.byref(pidfd), None, None)
    if pid == 0:
        return 0, -1
    return pid, pidfd.value


def clone_into(flags: int, cgroup_fd: int) -> tuple[int, int]:
    """As `clone`, born in a version 2 cgroup (CLONE_INTO_CGROUP, clone(2), 5.7).

    Moving a process takes cgroup_threadgroup_rwsem for writing, and so waits for an RCU grace period, some 10
    ms; being born does not. ENOSYS where a filter hides clone3.
    """
    pidfd = ctypes.c_int(-1)
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    # set_tid_size, cgroup
    arguments = _CloneArgs(flags | CLONE_PIDFD | CLONE_INTO_CGROUP, ctypes.addressof(pidfd))
    if not flags & CLONE_PARENT:
        arguments[4] = signal.SIGCHLD  # a sibling has its parent's (EINVAL)
    arguments[10] = cgroup_fd
    pid = _clone3(ctypes.addressof(arguments), ctypes.sizeof(arguments))
    if pid == 0:
        return 0, -1
    return pid, pidfd.value


def unshare(flags: int) -> None:
    """Leave the shared namespaces (and, for CLONE_NEWPID and CLONE_NEWTIME, have children in new ones)."""
    _unshare(flags)


def setns(fd: int, flags: int = 0) -> None:
    """Join the namespace of `fd`: one of /proc/PID/ns/*, or with a pidfd all that `flags` name (5.8)."""
    _setns(fd, flags)


def open_namespace(pid: int | str, flag: int) -> int:
    """A descriptor of a process's namespace; raises FileNotFoundError where the kernel has none."""
    return os.open(f"/proc/{pid}/ns/{FILES[flag]}", os.O_RDONLY | os.O_CLOEXEC)


def supported(flag: int) -> bool:
    """Does this kernel have this kind of namespace?"""
    try:
        os.stat(f"/proc/self/ns/{FILES[flag]}")
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True

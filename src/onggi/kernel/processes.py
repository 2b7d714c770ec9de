"""Processes: prctl, pidfds, limits, scheduling, identity, host name, keyrings. One call, one function."""

from __future__ import annotations

import ctypes
import os
import sys

from onggi.kernel.libc import encode, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the signal module imports enum, 6 ms

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39

RLIMITS = {
    "RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4,

    "RLIMIT_RSS": 5, "RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}  # fmt: skip
RLIM_INFINITY = 0xFFFFFFFFFFFFFFFF

_KEYCTL_JOIN_SESSION_KEYRING = 1
_KEYCTL_SETPERM = 5
_KEYCTL_DESCRIBE = 6

_int, _ulong, _void_p = ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p

_Limit, _Description = ctypes.c_uint64 * 2, ctypes.c_char * 1024
_prctl = syscall("prctl", _int, _ulong, _ulong, _ulong, _ulong)
_pidfd_open = syscall("pidfd_open", _int, ctypes.c_uint)
_pidfd_getfd = syscall("pidfd_getfd", _int, _int, ctypes.c_uint)
_prlimit = syscall("prlimit64", _int, ctypes.c_uint, _void_p, _void_p)
_setgroups = syscall("setgroups", ctypes.c_size_t, _void_p)
_setresuid = syscall("setresuid", ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
_setresgid = syscall("setresgid", ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
_sethostname = syscall("sethostname", ctypes.c_char_p, ctypes.c_size_t, path=0)
_setdomainname = syscall("setdomainname", ctypes.c_char_p, ctypes.c_size_t, path=0)
_personality = syscall("personality", _ulong)
_sched_setattr = syscall("sched_setattr", _int, _void_p, ctypes.c_uint)
_ioprio_set = syscall("ioprio_set", _int, _int, _int)
_keyctl = syscall("keyctl", _int, _ulong, _ulong, _ulong, _ulong)
_keyctl_join = syscall("keyctl", _int, ctypes.c_char_p, _ulong, _ulong, _ulong)


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    return _prctl(option, arg2, arg3, arg4, arg5)


def set_name(name: str) -> None:
    """The thread's name of /proc/PID/comm, cut to 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode()[:15], 16)
    _prctl(PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0)


def set_no_new_privs() -> None:
    _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def set_dumpable(*, dumpable: bool) -> None:
    """Whether same-uid processes may read /proc/PID/exe, mem, fd and ptrace it (PR_SET_DUMPABLE)."""
    _prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def set_child_subreaper(*, subreaper: bool = True) -> None:
    _prctl(PR_SET_CHILD_SUBREAPER, int(subreaper), 0, 0, 0)


def set_parent_death_signal(number: int) -> None:
    _prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def keep_capabilities(*, keep: bool) -> None:
    """Whether the permitted set outlives a change from uid 0 (PR_SET_KEEPCAPS)."""
    _prctl(PR_SET_KEEPCAPS, int(keep), 0, 0, 0)


def pidfd_open(pid: int) -> int:
    """A close-on-exec descriptor of a process."""
    return _pidfd_open(pid, 0)


def pidfd_getfd(pidfd: int, target_fd: int) -> int:
    """A copy of another process's descriptor."""
    return _pidfd_getfd(pidfd, target_fd, 0)


def pidfd_send_signal(pidfd: int, number: int) -> None:
    signal.pidfd_send_signal(pidfd, number)


def wait_pidfd(pidfd: int, *, block: bool = True) -> int | None:
    """Reap the child of a pidfd: exit code, or minus the signal that killed it; None: still runs."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | (0 if block else os.WNOHANG))
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def prlimit(pid: int, resource: int, limit: tuple[int, int] | None = None) -> tuple[int, int]:
    """Read (soft, hard) of a limit, and set it where `limit` is given; pid 0 is the caller."""
    old = _Limit()
    new = None if limit is None else _Limit(*limit)
    _prlimit(pid, resource, None if new is None else ctypes.addressof(new), ctypes.addressof(old))
    return old[0], old[1]


def setgroups(groups: list[int] | tuple[int, ...]) -> None:
    _setgroups(len(groups), b"".join([group.to_bytes(4, sys.byteorder) for group in groups]))


def setresuid(uid: int) -> None:
    """Real, effective and saved user, of this thread alone."""
    _setresuid(uid, uid, uid)


def setresgid(gid: int) -> None:
    _setresgid(gid, gid, gid)


def sethostname(name: str) -> None:
    raw = encode(name)
    _sethostname(raw, len(raw))


def setdomainname(name: str) -> None:
    raw = encode(name)
    _setdomainname(raw, len(raw))


def personality(persona: int) -> int:
    """Set the execution domain; 0xFFFFFFFF reads it."""
    return _personality(persona)


class _SchedAttr(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
    ]


def sched_setattr(
    policy: int,
    *,
    nice: int = 0,
    priority: int = 0,
    flags: int = 0,
    runtime: int = 0,
    deadline: int = 0,
    period: int = 0,
) -> None:
    """Scheduling of the caller, sched_setattr(2); times in nanoseconds."""
    attr = _SchedAttr(48, policy, flags, nice, priority, runtime, deadline, period)
    _sched_setattr(0, ctypes.addressof(attr), 0)


def ioprio_set(klass: int, priority: int) -> None:
    """I/O class (1 real time, 2 best effort, 3 idle) and priority 0 to 7 of the caller, ioprio_set(2)."""
    _ioprio_set(1, 0, klass << 13 | priority)


def join_session_keyring(name: str) -> int:
    """A new session keyring of that name for the caller; its serial number (keyctl(2))."""
    return _keyctl_join(_KEYCTL_JOIN_SESSION_KEYRING, encode(name), 0, 0, 0)


def describe_key(serial: int) -> str:
    """`type;uid;gid;permissions in hex;description` of a key."""
    buffer = _Description()
    _keyctl(_KEYCTL_DESCRIBE, serial, ctypes.addressof(buffer), 1024, 0)
    return buffer.value.decode("utf-8", "replace")


def set_key_permissions(serial: int, permissions: int) -> None:
    _keyctl(_KEYCTL_SETPERM, serial, permissions, 0, 0)

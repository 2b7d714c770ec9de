"""Loading a classic BPF filter, seccomp(2). Making one: runtime/seccomp/."""

from __future__ import annotations

import ctypes

from onggi.kernel.libc import syscall

FLAG_TSYNC = 1
FLAG_LOG = 2
FLAG_SPEC_ALLOW = 4
FLAG_NEW_LISTENER = 8
FLAG_WAIT_KILLABLE_RECV = 32

_SET_MODE_FILTER = 1
_GET_ACTION_AVAIL = 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


_seccomp = syscall("seccomp", ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)


def load(program: bytes, flags: int = 0) -> int:
    """Put a filter (struct sock_filter, 8 bytes each) on the calling thread; returns a listener's fd.

    Needs no_new_privs or CAP_SYS_ADMIN in the user namespace, else EACCES.
    """
    fprog = _Program(len(program) // 8, program)
    return _seccomp(_SET_MODE_FILTER, flags, ctypes.addressof(fprog))


def action_available(action: int) -> bool:
    """Does this kernel know this return action?"""
    value = ctypes.c_uint32(action)
    try:
        _seccomp(_GET_ACTION_AVAIL, 0, ctypes.addressof(value))
    except OSError:
        return False
    return True

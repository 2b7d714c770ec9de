"""Signals as a descriptor, signalfd(2)."""

from __future__ import annotations

import ctypes
import os

from onggi.kernel.libc import syscall

_signalfd4 = syscall("signalfd4", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

RECORD_BYTES = 128  # struct signalfd_siginfo


def signalfd(signals: list[int] | set[int]) -> int:
    """A non-blocking, close-on-exec descriptor that reads the given signals; they must be blocked."""
    mask = ctypes.c_uint64(sum(1 << (number - 1) for number in signals))
    return _signalfd4(-1, ctypes.addressof(mask), 8, os.O_NONBLOCK | os.O_CLOEXEC)


def read_signals(fd: int) -> list[tuple[int, int]]:
    """What has arrived: (signal, pid of the sender); empty where nothing has."""
    try:
        raw = os.read(fd, RECORD_BYTES * 32)
    except BlockingIOError:
        return []
    return [
        (int.from_bytes(raw[at : at + 4], "little"), int.from_bytes(raw[at + 12 : at + 16], "little"))
        for at in range(0, len(raw), RECORD_BYTES)
    ]

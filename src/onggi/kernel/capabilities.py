"""Capabilities: the five sets of capabilities(7) as 64-bit masks, and their names."""

from __future__ import annotations

import ctypes
import errno

from onggi.kernel.libc import syscall
from onggi.kernel.processes import prctl

_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_AMBIENT_RAISE = 2
_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
BITS = {name: 1 << number for number, name in enumerate(NAMES)}

_Header, _Data = ctypes.c_uint32 * 2, ctypes.c_uint32 * 6
_capget = syscall("capget", ctypes.c_void_p, ctypes.c_void_p)
_capset = syscall("capset", ctypes.c_void_p, ctypes.c_void_p)


def get() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of the caller."""
    header = _Header(_VERSION_3, 0)
    data = _Data()
    _capget(ctypes.addressof(header), ctypes.addressof(data))
    return data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32


def set_(effective: int, permitted: int, inheritable: int) -> None:
    low = 0xFFFFFFFF
    header = _Header(_VERSION_3, 0)
    data = _Data(
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> 32,
        permitted >> 32,
        inheritable >> 32,
    )
    _capset(ctypes.addressof(header), ctypes.addressof(data))


def bounding() -> int:
    """The bounding set of the caller."""
    mask = 0
    for number in range(64):
        try:
            mask |= prctl(_PR_CAPBSET_READ, number) << number
        except OSError as failure:
            if failure.errno != errno.EINVAL:
                raise
            break
    return mask


def drop_bounding(keep: int) -> None:
    """Drop every capability that is not in `keep` from the bounding set; needs CAP_SETPCAP."""
    for number in range(64):
        if not keep >> number & 1:
            try:
                prctl(_PR_CAPBSET_DROP, number)
            except OSError as failure:
                if failure.errno != errno.EINVAL:
                    raise
                return  # beyond the kernel's last capability


def set_ambient(mask: int) -> None:
    """Clear the ambient set and raise what `mask` names; each must be permitted and inheritable."""
    prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    number = 0
    while mask >> number:
        if mask >> number & 1:
            prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number)
        number += 1

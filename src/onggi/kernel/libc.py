"""How a system call is declared: number, argument types, and errno turned into OSError, once.

    _mount = syscall("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p, path=1)
    _mount(b"proc", b"/proc", b"proc", 0, None)         # raises OSError(errno, text, "/proc")

Calls go by number through syscall(2), so an old libc knows new calls too, and what libc would do for
threads (setresuid on all of them) is left out: who calls these is single-threaded. Numbers: the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64, riscv64).

`(c_char * n)` and create_string_buffer make a type for each length, which costs more than the call itself and
is forgotten at once: bytes are passed as they are (c_char_p, c_void_p), and arrays have a module's own type.
From 424 on (pidfd_send_signal) all architectures share one numbering.
"""

from __future__ import annotations

import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MACHINE = os.uname().machine

_X86_64 = {
    "ioctl": 16, "getpid": 39, "clone": 56, "fcntl": 72, "getgroups": 115, "setgroups": 116,
    "setfsuid": 122, "setfsgid": 123, "setresuid": 117,
    "setresgid": 119, "capget": 125, "capset": 126, "personality": 135, "fstatfs": 138,
    "syncfs": 306,
    "sched_setparam": 142, "sched_setscheduler": 144, "pivot_root": 155, "prctl": 157, "chroot": 161,
    "mount": 165, "umount2": 166, "sethostname": 170, "setdomainname": 171, "add_key": 248, "keyctl": 250,
    "ioprio_set": 251, "ioprio_get": 252, "mknodat": 259, "unshare": 272, "signalfd4": 289,
    "prlimit64": 302, "setns": 308, "sched_setattr": 314, "sched_getattr": 315, "seccomp": 317,
    "renameat2": 316, "memfd_create": 319, "bpf": 321,
}  # fmt: skip
_GENERIC = {
    "ioctl": 29, "getpid": 172, "clone": 220, "fcntl": 25, "getgroups": 158, "setgroups": 159,
    "setfsuid": 151, "setfsgid": 152,
    "setresuid": 147,    "setresgid": 149, "capget": 90, "capset": 91, "personality": 92, "fstatfs": 44,
    "syncfs": 267,
    "sched_setparam": 118, "sched_setscheduler": 119, "pivot_root": 41, "prctl": 167, "chroot": 51,
    "mount": 40, "umount2": 39, "sethostname": 161, "setdomainname": 162, "add_key": 217, "keyctl": 219,
    "ioprio_set": 30, "ioprio_get": 31, "mknodat": 33, "unshare": 97, "signalfd4": 74,
    "prlimit64": 261, "setns": 268, "sched_setattr": 274, "sched_getattr": 275, "seccomp": 277,
    "renameat2": 276, "memfd_create": 279, "bpf": 280,
}  # fmt: skip
_COMMON = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437,
    "pidfd_getfd": 438, "faccessat2": 439, "mount_setattr": 442, "quotactl_fd": 443,
    "statmount": 457, "listmount": 458,
}  # fmt: skip

NUMBERS: dict[str, int] = {**(_X86_64 if MACHINE == "x86_64" else _GENERIC), **_COMMON}

BIG_ENDIAN = sys.byteorder == "big"

_libc = ctypes.CDLL(None, use_errno=True)
_holding_gil = ctypes.PyDLL(None, use_errno=True)


def syscall(name: str, *argtypes: Any, path: int | None = None, hold_gil: bool = False) -> Callable[..., int]:
    """A callable for one system call. `path` is the index of the argument that an error should name.

    `hold_gil` is for clone: the child must return into an interpreter whose lock it holds.
    """
    function: Any = _load(hold_gil)
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, *argtypes]
    number = NUMBERS[name]

    def call(*args: Any) -> int:
        result: int = function(number, *args)
        if result == -1:
            raise error(args[path] if path is not None else name)
        return result

    return call


def _load(hold_gil: bool) -> Any:
    """A function object of its own for each prototype: indexing a library makes a new one every time."""
    return (_holding_gil if hold_gil else _libc)["syscall"]


def error(subject: object = None) -> OSError:
    """OSError of the last failed call, naming a path (bytes or str) or the call itself."""
    number = ctypes.get_errno()
    if isinstance(subject, bytes):
        subject = os.fsdecode(subject)
    return OSError(number, os.strerror(number), subject)


def encode(path: str | bytes) -> bytes:
    """A path, or any text that the kernel takes, as bytes without a NUL inside."""
    raw = path if isinstance(path, bytes) else os.fsencode(path)
    if b"\0" in raw:
        raise ValueError("embedded null byte")
    return raw

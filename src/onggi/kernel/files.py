"""Files: opening below a root, closing in bulk, making nodes, telling file systems apart.

`openat2` is how every path inside a container's root is opened (CVE-2021-30465, CVE-2018-15664): the kernel
resolves links as if `dir_fd` were the root, and races with a hostile writer end in EAGAIN or inside the root.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

from onggi.kernel.libc import encode, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

CLOSE_RANGE_UNSHARE = 2
CLOSE_RANGE_CLOEXEC = 4

# statfs(2), f_type
PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
DEVPTS_SUPER_MAGIC = 0x1CD1
TMPFS_MAGIC = 0x01021994
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
OVERLAYFS_SUPER_MAGIC = 0x794C7630
EXT4_SUPER_MAGIC = 0xEF53

_AT_FDCWD = -100
_AT_EACCESS = 0x200
_AT_EMPTY_PATH = 0x1000
_RACES = 64  # openat2(2): EAGAIN when a rename or mount raced with "..", try again


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_Statfs = ctypes.c_long * 32  # struct statfs, roughly: f_type comes first
_openat2 = syscall("openat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, path=1)
_close_range = syscall("close_range", ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
_fstatfs = syscall("fstatfs", ctypes.c_int, ctypes.c_void_p)
_syncfs = syscall("syncfs", ctypes.c_int)
_faccessat2 = syscall("faccessat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, path=1)
_renameat2 = syscall(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, path=3
)


def accessible(fd: int, mode: int) -> bool:
    """May this thread, with its ids for files and its effective capabilities, use an open file so?

    access(2)'s R_OK, W_OK, X_OK; AT_EACCESS and AT_EMPTY_PATH of faccessat2 (5.8).
    """
    try:
        _faccessat2(fd, b"", mode, _AT_EACCESS | _AT_EMPTY_PATH)
    except PermissionError:
        return False
    return True


def openat2(
    dir_fd: int, path: str | bytes, flags: int, *, mode: int = 0, resolve: int = RESOLVE_IN_ROOT
) -> int:
    """Open a path below `dir_fd`; close-on-exec. `resolve` defaults to RESOLVE_IN_ROOT."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    raw = encode(path)
    for _ in range(_RACES):
        try:
            return _openat2(dir_fd, raw, ctypes.addressof(how), 24)
        except OSError as failure:
            if failure.errno not in (errno.EAGAIN, errno.EINTR):
                raise
    raise OSError(errno.EAGAIN, "the path kept changing while it was resolved", os.fsdecode(raw))


def may_execute(path: str) -> bool:
    """faccessat2(2) with our effective ids; by the mode alone where a filter or an old kernel hides the call.

    os.access() cannot tell a filter's EPERM from the file's EACCES, and a profile without this call is
    usual: it came with Linux 5.8.
    """
    try:
        _faccessat2(_AT_FDCWD, encode(path), os.X_OK, _AT_EACCESS)
    except OSError as failure:
        if failure.errno in (errno.ENOSYS, errno.EPERM):
            return bool(os.stat(path).st_mode & 0o111)
        return False
    return True


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Close all descriptors from first to last, or mark them close-on-exec (CLOSE_RANGE_CLOEXEC, 5.11)."""
    if first <= last:
        _close_range(first, last, flags)


def close_all_but(keep: list[int] | tuple[int, ...] | set[int], first: int = 3, flags: int = 0) -> None:
    """close_range over everything from `first` on, with holes for `keep`."""
    for fd in sorted(keep):
        if fd >= first:
            close_range(first, fd - 1, flags)
            first = fd + 1
    close_range(first, flags=flags)


def filesystem_type(fd: int) -> int:
    """f_type of fstatfs(2); works on O_PATH descriptors (3.12)."""
    buffer = _Statfs()
    _fstatfs(fd, ctypes.addressof(buffer))
    return int(buffer[0]) & 0xFFFFFFFF


def syncfs(fd: int) -> None:
    """Everything written so far to the file system that `fd` is on is on its device. syncfs(2)"""
    _syncfs(fd)


def rename_new(name: str | bytes, source_fd: int, target_fd: int) -> None:
    """Move a name from one directory to another, never over one that is there (FileExistsError)."""
    raw = encode(name)
    _renameat2(source_fd, raw, target_fd, raw, 1)  # RENAME_NOREPLACE


def reopen(fd: int, flags: int) -> int:
    """Open again, with other access, what an O_PATH descriptor shows. Needs the host's own /proc."""
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def memfd(name: str, content: bytes = b"", *, seal: bool = False) -> int:
    """An anonymous file at position 0 with `content`; sealed against every change where `seal`."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        if seal:
            fcntl.fcntl(fd, 1033, 0x1 | 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: seal, shrink, grow, write
    except BaseException:
        os.close(fd)
        raise
    return fd

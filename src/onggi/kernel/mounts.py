"""Mounts: the path-based calls and the descriptor-based ones (Linux 5.2 and later). mount(2), fsopen(2).

A detached mount is a descriptor that no path leads to yet: `fsmount` and `open_tree` make one,
`mount_setattr` changes it while nobody sees it, `move_mount` puts it at a place that is itself a descriptor,
so no name is resolved twice. It vanishes with its last descriptor.
"""

from __future__ import annotations

import ctypes
import errno
import os

from onggi.kernel.libc import encode, syscall

# mount(2)
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

# mount_setattr(2), fsmount(2)
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
AT_NO_AUTOMOUNT = 0x800
AT_FDCWD = -100

FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6
FSCONFIG_CMD_RECONFIGURE = 7

_char_p, _int, _uint, _ulong = ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_ulong

_mount = syscall("mount", _char_p, _char_p, _char_p, _ulong, _char_p, path=1)
_umount2 = syscall("umount2", _char_p, _int, path=0)
_pivot_root = syscall("pivot_root", _char_p, _char_p, path=0)
_open_tree = syscall("open_tree", _int, _char_p, _uint, path=1)
_move_mount = syscall("move_mount", _int, _char_p, _int, _char_p, _uint)
_fsopen = syscall("fsopen", _char_p, _uint, path=0)
_fsconfig = syscall("fsconfig", _int, _uint, _char_p, ctypes.c_void_p, _int)
_fsmount = syscall("fsmount", _int, _uint, _uint)
_fspick = syscall("fspick", _int, _char_p, _uint)
_mount_setattr = syscall("mount_setattr", _int, _char_p, _uint, ctypes.c_void_p, ctypes.c_size_t)


def mount(
    source: str | None, target: str, fstype: str | None, flags: int = 0, data: str | None = None
) -> None:
    """mount(2) with its own words; `data` is at most a page long."""
    _mount(
        None if source is None else encode(source),
        encode(target),
        None if fstype is None else encode(fstype),
        flags,
        None if data is None else encode(data),
    )


def umount2(target: str, flags: int = 0) -> None:
    _umount2(encode(target), flags)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root; `pivot_root(".", ".")` stacks the old one over it (pivot_root(2), NOTES)."""
    _pivot_root(encode(new_root), encode(put_old))


def open_tree(dir_fd: int, path: str, flags: int = OPEN_TREE_CLONE) -> int:
    """A detached copy (OPEN_TREE_CLONE) of the mount at a path."""
    return _open_tree(dir_fd, encode(path), flags | os.O_CLOEXEC)


def clone_tree(fd: int, *, recursive: bool = False) -> int:
    """A detached copy of what the descriptor `fd` shows."""
    flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | os.O_CLOEXEC
    return _open_tree(fd, b"", flags | AT_RECURSIVE if recursive else flags)


def move_mount(tree_fd: int, target_fd: int) -> None:
    """Attach a detached mount on the place that `target_fd` is."""
    _move_mount(tree_fd, b"", target_fd, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def fsopen(fstype: str) -> int:
    return _fsopen(encode(fstype), 1)  # FSOPEN_CLOEXEC


def fspick(dir_fd: int, path: str = "") -> int:
    """The configuration of a mounted file system, to be changed with `fsconfig`."""
    return _fspick(dir_fd, encode(path), 1 | 8)  # FSPICK_CLOEXEC | FSPICK_EMPTY_PATH


def fsconfig_string(fs_fd: int, key: str, value: str) -> None:
    """One option; the kernel takes at most 255 bytes of value."""
    _fsconfig(fs_fd, FSCONFIG_SET_STRING, encode(key), encode(value), 0)


def fsconfig_flag(fs_fd: int, key: str) -> None:
    _fsconfig(fs_fd, FSCONFIG_SET_FLAG, encode(key), None, 0)


def fsconfig_create(fs_fd: int) -> None:
    """Make the superblock."""
    _fsconfig(fs_fd, FSCONFIG_CMD_CREATE, None, None, 0)


def fsconfig_reconfigure(fs_fd: int) -> None:
    _fsconfig(fs_fd, FSCONFIG_CMD_RECONFIGURE, None, None, 0)


def fsmount(fs_fd: int, attributes: int = 0) -> int:
    """A detached mount of a created superblock, with MOUNT_ATTR_* attributes."""
    return _fsmount(fs_fd, 1, attributes)  # FSMOUNT_CLOEXEC


def explain(fs_fd: int) -> str:
    """What the file system said about the last failure: the messages queued on its descriptor, fsopen(2)."""
    said = []
    while True:
        try:
            # "e text": the first letter is the severity
            said.append(os.read(fs_fd, 4096).decode("utf-8", "replace").strip()[2:])
        except OSError as failure:
            if failure.errno in (errno.ENODATA, errno.EAGAIN):
                return "; ".join(said)
            raise


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def mount_setattr(
    dir_fd: int,
    path: str = "",
    *,
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns_fd: int = -1,
    recursive: bool = False,
) -> None:
    """Change attributes of a mount (5.12), `recursive`: of all below it too. No path means `dir_fd`."""
    attr = _MountAttr(set_, clear, propagation, userns_fd if userns_fd >= 0 else 0)
    flags = AT_EMPTY_PATH | AT_RECURSIVE if recursive else AT_EMPTY_PATH
    _mount_setattr(dir_fd, encode(path), flags, ctypes.addressof(attr), ctypes.sizeof(attr))


def make_filesystem(
    fstype: str, source: str, options: list[tuple[str, str | None]], attributes: int = 0
) -> int:
    """A detached mount of a new file system: fsopen, each option, create, fsmount.

    An error's text carries what the file system itself said.
    """
    fs_fd = fsopen(fstype)
    try:
        try:
            if source:
                fsconfig_string(fs_fd, "source", source)
            for key, value in options:
                if value is None:
                    fsconfig_flag(fs_fd, key)
                else:
                    fsconfig_string(fs_fd, key, value)
            fsconfig_create(fs_fd)
            return fsmount(fs_fd, attributes)
        except OSError as failure:
            said = explain(fs_fd)
            if said:
                raise OSError(failure.errno, f"{failure.strerror} ({said})", fstype) from None
            raise OSError(failure.errno, failure.strerror, fstype) from None
    finally:
        os.close(fs_fd)

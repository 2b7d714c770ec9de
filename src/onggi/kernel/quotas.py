"""Project quotas: a limit for everything below a directory, on ext4 and xfs.

Files have a project id; a directory with the inherit flag gives its own to what is made in it. The file
system counts the blocks of each project and refuses those beyond its limit (EDQUOT on ext4, ENOSPC on xfs).
quotactl_fd(2) is there since Linux 5.14 and needs no device node. Limits need CAP_SYS_ADMIN in the first user
namespace; a project id is changed there by a file's owner, elsewhere by nobody (ioctl_fsxattr, since 5.17).

Source: quotactl(2), linux/quota.h, linux/dqblk_xfs.h; linux/fs.h for struct fsxattr.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import struct

from onggi.kernel.libc import syscall

FS_IOC_FSGETXATTR = 0x801C581F
FS_IOC_FSSETXATTR = 0x401C5820
FS_IOC_SETFLAGS = 0x40086602
FS_IOC32_SETFLAGS = 0x40046602  # from 32-bit programs
_PROJECT_INHERIT = 0x200  # FS_XFLAG_PROJINHERIT

_PROJECT = 2  # PRJQUOTA
_GET, _SET, _STATE = 0x800007, 0x800008, 0x5808  # Q_GETQUOTA, Q_SETQUOTA, Q_XGETQSTATV
_BLOCK_LIMITS = 1  # QIF_BLIMITS
_ENFORCED = 1 << 5  # FS_QUOTA_PDQ_ENFD
BLOCK_BYTES = 1024  # QIF_DQBLKSIZE: what limits are counted in

_FSXATTR = struct.Struct("=5I8x")  # xflags, extsize, nextents, projid, cowextsize
_DQBLK = struct.Struct("=8QI4x")  # limits hard and soft, bytes used; the same of inodes; two times; valid

_quotactl_fd = syscall("quotactl_fd", ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_char_p)


def project(fd: int) -> int:
    """The project id of an open file or directory. Raises OSError (ENOTTY: no projects here)."""
    return int(_FSXATTR.unpack(_attributes(fd))[3])


def set_project(fd: int, project_id: int) -> None:
    """Put an open, empty directory into a project, with all that will be made below it. Raises OSError."""
    flags, *rest = _FSXATTR.unpack(_attributes(fd))
    rest[2] = project_id
    fcntl.ioctl(fd, FS_IOC_FSSETXATTR, _FSXATTR.pack(flags | _PROJECT_INHERIT, *rest))


def _attributes(fd: int) -> bytes:
    return fcntl.ioctl(fd, FS_IOC_FSGETXATTR, bytes(_FSXATTR.size))


def enforced(fd: int) -> bool:
    """Does the file system of an open file hold projects to their limits?"""
    buffer = bytearray(256)  # struct fs_quota_statv, with room
    buffer[0] = 1  # FS_QSTATV_VERSION1
    try:
        raw = _ask(fd, _STATE, 0, bytes(buffer))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ESRCH, errno.EINVAL, errno.EPERM, errno.ENOTTY):
            raise
        return False
    return bool(struct.unpack_from("=H", raw, 2)[0] & _ENFORCED)


def set_limit(fd: int, project_id: int, size_bytes: int) -> None:
    """The hard limit of a project, on the file system of an open file; 0 takes it away. Raises OSError."""
    blocks = size_bytes // BLOCK_BYTES
    _ask(fd, _SET, project_id, _DQBLK.pack(blocks, 0, 0, 0, 0, 0, 0, 0, _BLOCK_LIMITS))


def usage(fd: int, project_id: int) -> tuple[int, int]:
    """(hard limit, what is used) of a project, in bytes; (0, 0) for one that nobody has. Raises OSError."""
    try:
        hard, _, used, _, _, inodes, *_ = _DQBLK.unpack(_ask(fd, _GET, project_id, bytes(_DQBLK.size)))
    except FileNotFoundError:  # xfs: no such project yet
        return 0, 0
    return hard * BLOCK_BYTES, used or inodes


def _ask(fd: int, command: int, project_id: int, buffer: bytes) -> bytes:
    """The kernel reads and writes `buffer`, which nobody else has."""
    raw = ctypes.create_string_buffer(buffer, len(buffer))
    _quotactl_fd(fd, command << 8 | _PROJECT, project_id, ctypes.cast(raw, ctypes.c_char_p))
    return raw.raw

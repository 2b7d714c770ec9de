"""The bytes of one file into another: cloned where the file system can, else copied inside the kernel.

FICLONE (btrfs, xfs) shares the blocks; copy_file_range(2) does not leave the kernel; between file systems of
different kinds sendfile(2) is what is left. Holes stay holes.
"""

from __future__ import annotations

import errno
import fcntl
import os

FICLONE = 0x40049409  # _IOW(0x94, 9, int), ioctl_ficlone(2)
NO_CLONE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL)
NO_RANGE = (errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
SMALL_BYTES = 64 << 10  # below this a read and a write are the least that can be done
PIECE_BYTES = 16 << 20


def copy_content(source: int, target: int, size: int) -> None:
    """Copy `size` bytes of a file that nobody changes into an empty one. Raises OSError."""
    if size <= SMALL_BYTES:
        _small(source, target, size)
        return
    try:
        fcntl.ioctl(target, FICLONE, source)
        return
    except OSError as error:
        if error.errno not in NO_CLONE:
            raise
    os.ftruncate(target, size)
    at = 0
    while at < size:  # lseek(2), SEEK_DATA: only what is not a hole is copied
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = min(os.lseek(source, start, os.SEEK_HOLE), size)
        _range(source, target, start, at)


def _small(source: int, target: int, size: int) -> None:
    at = 0
    while at < size and (data := os.pread(source, size - at, at)):
        view = memoryview(data)
        while view:
            written = os.pwrite(target, view, at)
            view = view[written:]
            at += written


def _range(source: int, target: int, start: int, end: int) -> None:
    try:
        while start < end:
            count = os.copy_file_range(source, target, end - start, start, start)
            if count == 0:
                return
            start += count
    except OSError as error:
        if error.errno not in NO_RANGE:
            raise
        _send(source, target, start, end)


def _send(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        count = os.sendfile(target, source, start, min(end - start, PIECE_BYTES))
        if count == 0:
            return
        start += count

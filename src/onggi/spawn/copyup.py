"""tmpcopyup: what lies under a tmpfs mount point is copied into the tmpfs before it is mounted over it."""

from __future__ import annotations

import os
import stat

from onggi.kernel.files import RESOLVE_NO_SYMLINKS, openat2

_CHUNK = 1 << 20


def copy(source_fd: int, target_fd: int) -> None:
    """Copy a directory's content with owners, modes, times and extended attributes. Both are O_PATH
    descriptors."""
    here = openat2(source_fd, ".", os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)
    there = openat2(target_fd, ".", os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)
    try:
        _directory(here, there)
        _metadata(os.fstat(here), there)
    finally:
        os.close(here)
        os.close(there)


def _directory(here: int, there: int) -> None:
    for name in os.listdir(here):
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            _subdirectory(here, there, name, found)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=here), name, dir_fd=there)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=there, follow_symlinks=False)
        elif kind == stat.S_IFREG:
            _file(here, there, name, found)
        elif kind != stat.S_IFSOCK:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=there)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=there, follow_symlinks=False)


def _subdirectory(here: int, there: int, name: str, found: os.stat_result) -> None:
    os.mkdir(name, 0o700, dir_fd=there)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    inner = os.open(name, flags, dir_fd=here)
    outer = os.open(name, flags, dir_fd=there)
    try:
        _directory(inner, outer)
        _metadata(found, outer, inner)
    finally:
        os.close(inner)
        os.close(outer)


def _file(here: int, there: int, name: str, found: os.stat_result) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=here)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    target = os.open(name, flags, 0o600, dir_fd=there)
    try:
        while chunk := os.read(source, _CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
        _metadata(found, target, source)
    finally:
        os.close(source)
        os.close(target)


def _metadata(found: os.stat_result, target: int, source: int = -1) -> None:
    os.fchown(target, found.st_uid, found.st_gid)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    if source >= 0:
        for name in os.listxattr(source):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))

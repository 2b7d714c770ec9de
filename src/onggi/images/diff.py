"""`onggi image diff A B`: which files differ between two images, whatever layers they came in.

Both are looked at as a container would see them, side by side and name by name. A file differs by its
kind, mode, owner, extended attributes, size, target or device, or by its bytes; the time alone is no
difference, since it changes with every build. Bytes are compared last, and never those of one inode,
which layers in common are.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from onggi.images import view
from onggi.images.images import Image, Images
from onggi.images.tree import OPEN_DIR, descriptor_path, lookup

READ_BYTES = 1 << 20


class Difference(msgspec.Struct, frozen=True):
    """One file; `old` and `new` are what lstat(2) says, None where it is not there. `facts` says what
    differs."""

    path: bytes
    old: os.stat_result | None
    new: os.stat_result | None
    facts: tuple[str, ...] = ()


def diff(images: Images, old: Image, new: Image) -> list[Difference]:
    """What has to be done to `old` to get `new`, in the order of the paths. Raises OSError."""
    keys = [layer.chain_id for image in (old, new) for layer in image.layers]
    with images.pinned(keys), _root(images, old) as old_fd, _root(images, new) as new_fd:
        return list(_directories(old_fd, new_fd, b""))


@contextmanager
def _root(images: Images, image: Image) -> Iterator[int]:
    fd = view.open_root(images.snapshots.view(image.top))
    try:
        with _opened(fd, b".") as readable:
            yield readable
    finally:
        os.close(fd)


@contextmanager
def _opened(parent_fd: int, name: bytes) -> Iterator[int]:
    fd = os.open(name, OPEN_DIR, dir_fd=parent_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _directories(old_fd: int, new_fd: int, path: bytes) -> Iterator[Difference]:
    for name in _names(old_fd, new_fd):
        old, new = lookup(old_fd, name), lookup(new_fd, name)
        own = path + b"/" + name
        facts = _facts(old_fd, new_fd, name, old, new) if old and new else ()
        if facts or old is None or new is None:
            yield Difference(own, old, new, facts)
        yield from _below(old_fd if _is_dir(old) else -1, new_fd if _is_dir(new) else -1, name, own)


def _below(old_fd: int, new_fd: int, name: bytes, path: bytes) -> Iterator[Difference]:
    """What is in a directory that both have, or one of them."""
    if old_fd >= 0 and new_fd >= 0:
        with _opened(old_fd, name) as old, _opened(new_fd, name) as new:
            yield from _directories(old, new, path)
    elif old_fd >= 0 or new_fd >= 0:
        with _opened(max(old_fd, new_fd), name) as fd:
            yield from _alone(fd, path, gone=old_fd >= 0)


def _alone(fd: int, path: bytes, *, gone: bool) -> Iterator[Difference]:
    for name in sorted(map(os.fsencode, os.listdir(fd))):
        found = lookup(fd, name)
        own = path + b"/" + name
        yield Difference(own, found, None) if gone else Difference(own, None, found)
        if _is_dir(found):
            with _opened(fd, name) as below:
                yield from _alone(below, own, gone=gone)


def _names(old_fd: int, new_fd: int) -> list[bytes]:
    return sorted({os.fsencode(name) for fd in (old_fd, new_fd) for name in os.listdir(fd)})


def _is_dir(found: os.stat_result | None) -> bool:
    return found is not None and stat.S_ISDIR(found.st_mode)


def _facts(
    old_fd: int, new_fd: int, name: bytes, old: os.stat_result, new: os.stat_result
) -> tuple[str, ...]:
    """What differs between two files of one name; nothing where they are the same."""
    if stat.S_IFMT(old.st_mode) != stat.S_IFMT(new.st_mode):
        return ("kind",)
    facts = []
    if old.st_mode != new.st_mode:
        facts.append("mode")
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        facts.append("owner")
    if not _is_dir(old) and old.st_ino == new.st_ino and old.st_mtime_ns == new.st_mtime_ns and not facts:
        return ()  # one inode of a layer that both stand on
    if _attributes(old_fd, name) != _attributes(new_fd, name):
        facts.append("xattrs")
    if _contents_differ(old_fd, new_fd, name, old, new):
        facts.append("content")
    return tuple(facts)


def _attributes(parent_fd: int, name: bytes) -> dict[str, bytes]:
    path = descriptor_path(parent_fd, name)
    names = os.listxattr(path, follow_symlinks=False)
    return {key: os.getxattr(path, key, follow_symlinks=False) for key in names}


def _contents_differ(old_fd: int, new_fd: int, name: bytes, old: os.stat_result, new: os.stat_result) -> bool:
    if stat.S_ISLNK(old.st_mode):
        return os.readlink(name, dir_fd=old_fd) != os.readlink(name, dir_fd=new_fd)
    if not stat.S_ISREG(old.st_mode):
        return old.st_rdev != new.st_rdev
    return old.st_size != new.st_size or not _same_bytes(old_fd, new_fd, name)


def _same_bytes(old_fd: int, new_fd: int, name: bytes) -> bool:
    with _file(old_fd, name) as old, _file(new_fd, name) as new:
        while True:
            piece = os.read(old, READ_BYTES)
            if piece != os.read(new, READ_BYTES):
                return False
            if not piece:
                return True


@contextmanager
def _file(parent_fd: int, name: bytes) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        yield fd
    finally:
        os.close(fd)

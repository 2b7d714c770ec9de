"""A directory tree that is written or read below one descriptor, whoever else is at work in it.

Every path is resolved by the kernel with the tree's root as `/` (openat2, RESOLVE_IN_ROOT): `..`, absolute
links and links planted by an archive, or by a running container, end inside (CVE-2018-15664,
CVE-2019-14271). What is done to a member is done to a name in an open parent directory, never through a
path.

Tree keeps the parents it opened: members of an archive come in the order of their directories, so most
look-ups are one dictionary hit. A kept descriptor is right as long as no directory and no link on its way
is taken away; who removes one calls forget().
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from onggi.images.tar.entry import BadArchive, shown
from onggi.kernel.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

KEPT = 128
RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
PATH = os.O_PATH | os.O_DIRECTORY
OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
IMPLIED_MODE = 0o755  # of a parent that an archive uses and does not contain: Docker's ImpliedDirectoryMode


def clean(name: bytes) -> bytes:
    """A member's name without `.`, `..`, doubled and outer slashes; b"" is the root itself.

    Raises BadArchive where `..` leads out of the root. An absolute name counts from the root, as in Docker.
    """
    if name.startswith(b"./"):
        name = name[2:]
    if b"/." not in name and b"//" not in name and name[:1] not in b"./" and name:
        return name[:-1] if name.endswith(b"/") else name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts and not name.startswith(b"/"):
                raise BadArchive(f"{shown(name)!r} is outside of the root directory")
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


class Tree:
    """Open parents below `root_fd`, which stays the caller's. Close it, or use `with`."""

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd
        self._kept: dict[bytes, int] = {}
        self._last_path = b""
        self._last_fd = root_fd

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()

    def forget(self) -> None:
        """Close all kept parents."""
        self.forget_all_but(-1)

    def forget_all_but(self, used_fd: int) -> None:
        """Close all kept parents but one that is in use: it was reached by a way that still stands."""
        used = {path: fd for path, fd in self._kept.items() if fd == used_fd}
        for fd in self._kept.values():
            if fd != used_fd:
                os.close(fd)
        self._kept = used
        self._last_path, self._last_fd = b"", self.root_fd

    def keep(self, path: bytes, fd: int) -> None:
        """Take over an open directory as the parent `path`."""
        old = self._kept.pop(path, None)
        if old is not None:
            os.close(old)
        elif len(self._kept) >= KEPT:
            os.close(self._kept.pop(next(iter(self._kept))))
        self._kept[path] = fd
        self._last_path, self._last_fd = path, fd

    def parent(self, path: bytes) -> int:
        """The directory `path` (cleaned), made where it is missing. Valid until two other parents were
        asked for.
        """
        if path == self._last_path:
            return self._last_fd
        if not path:
            return self.root_fd
        fd = self._kept.pop(path, None)
        if fd is None:
            try:
                fd = openat2(self.root_fd, path, PATH, resolve=RESOLVE)
            except FileNotFoundError:
                fd = self._make(path)
            self.keep(path, fd)
        else:
            self._kept[path] = fd
            self._last_path, self._last_fd = path, fd
        return fd

    def _make(self, path: bytes) -> int:
        """Make the missing end of a path. Whether a prefix exists is monotone, so a bisection finds where
        to begin.
        """
        parts = path.split(b"/")

        def missing(count: int) -> bool:
            if not count:
                return False
            try:
                os.close(openat2(self.root_fd, b"/".join(parts[:count]), os.O_PATH, resolve=RESOLVE))
            except FileNotFoundError:
                return True
            return False

        there = bisect_left(range(len(parts) + 1), True, key=missing) - 1
        fd = openat2(self.root_fd, b"/".join(parts[:there]) or b".", PATH, resolve=RESOLVE)
        for part in parts[there:]:
            try:
                os.mkdir(part, IMPLIED_MODE, dir_fd=fd)
                below = os.open(part, OPEN_DIR, dir_fd=fd)
                os.fchmod(below, IMPLIED_MODE)  # whatever the umask is
            finally:
                os.close(fd)
            fd = below
        return fd


@contextmanager
def open_trees(paths: Iterable[str]) -> Iterator[list[int]]:
    """Their descriptors, as long as the context lasts. Raises OSError."""
    found: list[int] = []
    try:
        for path in paths:
            found.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        yield found
    finally:
        for fd in found:
            os.close(fd)


def lookup(dir_fd: int, name: bytes) -> os.stat_result | None:
    """lstat of a name in an open directory; None where nothing has it."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def remove(dir_fd: int, name: bytes) -> None:
    """Remove whatever has this name, with all that is in it. A directory of another mount stays (EBUSY)."""
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except OSError as failure:
        if failure.errno not in (errno.EISDIR, errno.EPERM):
            raise
    stack = [(os.open(name, OPEN_DIR, dir_fd=dir_fd), name)]
    try:
        while stack:
            fd, own_name = stack[-1]
            below = _empty(fd)
            if below is not None:
                stack.append((os.open(below, OPEN_DIR, dir_fd=fd), below))
                continue
            stack.pop()
            os.close(fd)
            os.rmdir(own_name, dir_fd=stack[-1][0] if stack else dir_fd)
    finally:
        for fd, _ in stack:
            os.close(fd)


def _empty(fd: int) -> bytes | None:
    """Unlink everything in a directory that is not one; the name of a directory that is left, if any."""
    below: bytes | None = None
    for text in os.listdir(fd):
        name = os.fsencode(text)
        status = lookup(fd, name)
        if status is None:
            continue
        if stat.S_ISDIR(status.st_mode):
            below = name
        else:
            os.unlink(name, dir_fd=fd)
    return below


def descriptor_path(dir_fd: int, name: bytes = b"") -> bytes:
    """A path to a name in an open directory for calls without a dir_fd (xattrs). Needs the host's own
    /proc.
    """
    return b"/proc/self/fd/%d/%s" % (dir_fd, name) if name else b"/proc/self/fd/%d" % dir_fd

"""Copy a directory tree: what a new volume takes from its image, what a clone takes from another volume.

By descriptors and without following a link, because the source is an image's or a container's and the target
a container's. Owners, modes, times, xattrs, hard links within the tree and holes are kept. Blocks are shared
where the file system can (ioctl_ficlone(2): btrfs, XFS), else copied inside the kernel (copy_file_range(2)).
A directory gets its mode and times when it is full. Blocking.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Sequence

import msgspec

from onggi.kernel.files import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

_CHUNK_BYTES = 16 << 20
_FICLONE = 0x40049409
_NO_SHARING = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS)
_NO_XATTRS = (errno.EOPNOTSUPP, errno.EPERM)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy made: names, bytes of regular files, and how many of these are shared with the source."""

    entries: int
    bytes: int
    shared_bytes: int


def copy(source_fd: int, target_fd: int, *, top: bool = True, layers: Sequence[int] = ()) -> Copied:
    """Copy what is below one directory into another, and with `top` the directory's own facts.

    `layers` are directories that an overlay shows joined as the source: overlayfs does not share blocks with
    other file systems, but the file in the layer is the same inode, and does. Raises OSError; the target then
    holds a part.
    """
    return _Copy(source_fd, target_fd, layers).run(top=top)


def facts(source_fd: int, target_fd: int) -> None:
    """Owner first: chown(2) clears set-id bits; then xattrs, mode, times."""
    found = os.fstat(source_fd)
    os.fchown(target_fd, found.st_uid, found.st_gid)
    for name in os.listxattr(source_fd):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            try:
                os.setxattr(target_fd, name, os.getxattr(source_fd, name))
            except OSError as error:
                if error.errno not in _NO_XATTRS:  # a file system without them, as cp --archive has it
                    raise
    os.fchmod(target_fd, stat.S_IMODE(found.st_mode))
    os.utime(target_fd, ns=(found.st_atime_ns, found.st_mtime_ns))


class _Copy:
    """One copy on its way: directories are opened anew from the tops, so depth costs neither stack nor
    descriptors."""

    def __init__(self, source_fd: int, target_fd: int, layers: Sequence[int]) -> None:
        self.source = source_fd
        self.target = target_fd
        self.layers = layers
        self.links: dict[tuple[int, int], str] = {}
        self.entries = self.bytes = self.shared = 0

    def run(self, *, top: bool) -> Copied:
        directories = ["."]
        for path in directories:  # grows while it is walked: nearest the top first
            source = openat2(self.source, path, _DIRECTORY, resolve=_RESOLVE)
            try:
                target = openat2(self.target, path, _DIRECTORY, resolve=_RESOLVE)
                try:
                    directories += self._directory(source, target, path)
                finally:
                    os.close(target)
            finally:
                os.close(source)
        for path in reversed(directories[1:]):
            self._facts(path)
        if top:
            facts(self.source, self.target)
        return Copied(entries=self.entries, bytes=self.bytes, shared_bytes=self.shared)

    def _facts(self, path: str) -> None:
        source = openat2(self.source, path, _DIRECTORY, resolve=_RESOLVE)
        try:
            target = openat2(self.target, path, _DIRECTORY, resolve=_RESOLVE)
            try:
                facts(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _directory(self, source: int, target: int, path: str) -> list[str]:
        """Everything in one directory but what is in its directories; the paths of these."""
        found = []
        for name in os.listdir(source):
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            self.entries += 1
            if stat.S_ISDIR(status.st_mode):
                os.mkdir(name, 0o700, dir_fd=target)
                found.append(f"{path}/{name}")
            elif not self._linked(target, name, status, f"{path}/{name}"):
                self._one(source, target, name, status, path)
        return found

    def _linked(self, target: int, name: str, status: os.stat_result, path: str) -> bool:
        """Was it copied under another name? Then it is a link to that."""
        if status.st_nlink < 2:
            return False
        key = (status.st_dev, status.st_ino)
        if key in self.links:
            os.link(self.links[key], name, src_dir_fd=self.target, dst_dir_fd=target, follow_symlinks=False)
            return True
        self.links[key] = path
        return False

    def _one(self, source: int, target: int, name: str, status: os.stat_result, path: str) -> None:
        mode = status.st_mode
        if stat.S_ISREG(mode):
            self._file(source, target, name, path)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)
        else:
            os.mknod(name, mode, status.st_rdev, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(mode), dir_fd=target)
            os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target)

    def _file(self, source: int, target: int, name: str, path: str) -> None:
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        from_fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | flags, dir_fd=source)
        try:
            to_fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=target)
            try:
                size = os.fstat(from_fd).st_size
                shared = bool(size) and (
                    self._share_layers(from_fd, to_fd, f"{path}/{name}") or _share(from_fd, to_fd)
                )
                if size and not shared:
                    _content(from_fd, to_fd, size)
                self.bytes += size
                self.shared += size if shared else 0
                facts(from_fd, to_fd)
            finally:
                os.close(to_fd)
        finally:
            os.close(from_fd)

    def _share_layers(self, source: int, target: int, path: str) -> bool:
        """Share the blocks of the layer's file; where that is refused once, it is not asked for again."""
        for layer in self.layers:
            try:
                fd = openat2(layer, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, resolve=_RESOLVE)
            except OSError:  # it is in another layer, or is something else there
                continue
            try:
                if _is_same(os.fstat(fd), os.fstat(source)):
                    shared = _share(fd, target)
                    self.layers = self.layers if shared else ()
                    return shared
            finally:
                os.close(fd)
        return False


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Is it the inode that overlayfs shows? Documentation/filesystems/overlayfs.rst, "Inode properties"."""
    keys = ("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode")
    return stat.S_ISREG(one.st_mode) and all(getattr(one, key) == getattr(other, key) for key in keys)


def _share(source: int, target: int) -> bool:
    """Let the target have the source's blocks; false where the file system cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_SHARING:
            raise
        return False
    return True


def _content(source: int, target: int, size: int) -> None:
    """The data between the holes."""
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # a hole to the end
        at = os.lseek(source, start, os.SEEK_HOLE)
        _piece(source, target, start, at)
    os.ftruncate(target, size)


def _piece(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        count = min(end - start, _CHUNK_BYTES)
        try:
            copied = os.copy_file_range(source, target, count, start, start)
        except OSError as error:
            if error.errno not in _NO_SHARING:
                raise
            data = os.pread(source, count, start)
            copied = os.pwrite(target, data, start) if data else 0
        if not copied:
            return  # it became shorter meanwhile
        start += copied

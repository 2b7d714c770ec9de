"""Files that are there whole or not at all.

write: temporary name beside it, fsync(2) the file, rename(2), fsync the directory. After a power cut the name
holds the old bytes or the new ones. (rename alone may leave an empty file on ext4 without auto_da_alloc.)
"""

from __future__ import annotations

import os
import secrets

from onggi import failpoints


def write(path: str, data: bytes, mode: int = 0o644) -> None:
    """Replace a file. Raises OSError."""
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        try:
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        failpoints.hit("atomic.written")
        os.rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise
    sync_dir(os.path.dirname(path))


class Writing:
    """A file written piece by piece; a context manager. Without `commit` the name keeps what it had."""

    def __init__(self, path: str, mode: int = 0o600) -> None:
        """Raises OSError."""
        self._path = path
        self._temporary = f"{path}.{secrets.token_hex(8)}.new"
        self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        remove(self._temporary)

    def write(self, data: bytes, /) -> None:
        _write_all(self._fd, data)

    def sync(self) -> None:
        os.fsync(self._fd)

    def commit(self) -> None:
        """Put into place what was written and synced."""
        os.rename(self._temporary, self._path)
        sync_dir(os.path.dirname(self._path))


def read(path: str, limit: int) -> bytes:
    """The whole file, `limit` bytes at most; more is OSError(EFBIG). Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(27, "File too large", path)
    return data


def remove(path: str) -> None:
    """Delete a file that may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync_dir(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

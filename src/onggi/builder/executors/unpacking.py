"""ADD of a local archive: unpacked below its target, recognised by its bytes (Docker's rule).

What is no archive is copied as it is; one that breaks off later is an error. Owners are the archive's own
unless --chown gives one.
"""

from __future__ import annotations

import os
import stat

from onggi.builder.executors import select
from onggi.builder.executors.copying import make_directory
from onggi.builder.graph import CopyAction
from onggi.errors import OnggiError
from onggi.images.apply import extract
from onggi.images.archive import follow
from onggi.images.compression import decompress
from onggi.images.tar.reader import Reader
from onggi.images.tree import RESOLVE
from onggi.kernel.files import openat2

READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


def unpack(from_fd: int, to_fd: int, action: CopyAction, owner: tuple[int, int] | None) -> bool:
    """Unpack every source that is an archive; False where none is. Raises BadArchive, NoSpace, OSError."""
    done = False
    for source in select.sources(from_fd, action):
        if not stat.S_ISREG(source.facts.st_mode) or not _is_archive(from_fd, source.path):
            continue
        target = select.cleaned(action.target)
        os.close(make_directory(to_fd, target, owner, action.timestamp))
        with _open(from_fd, source.path) as file:
            extract(decompress(file), to_fd, into=follow(to_fd, target), owner=owner)
        done = True
    return done


def _open(root_fd: int, path: bytes) -> _File:
    return _File(openat2(root_fd, path, READ, resolve=RESOLVE))


def _is_archive(root_fd: int, path: bytes) -> bool:
    with _open(root_fd, path) as file:
        try:
            return Reader(decompress(file)).next() is not None
        except (OnggiError, OSError, EOFError):
            return False


class _File:
    """A descriptor to read from."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, size: int = -1, /) -> bytes:
        return os.read(self._fd, size if size > 0 else 1 << 20)

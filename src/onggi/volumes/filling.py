"""Fill an empty volume so that a crash leaves it either empty or full.

    volumes/NAME/_filling      what is being written; thrown away after a crash
    volumes/NAME/_filled       whole: its entries are moved into _data, also after a crash

The commit point is the rename of _filling to _filled. The entries are moved one by one and not by exchanging
the directory, because containers may have _data mounted already; a name that somebody made there meanwhile
stays his. Failpoints: volume.filling, volume.filled, volume.entry-moved. Blocking.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from onggi import failpoints
from onggi.errors import NoSpace
from onggi.kernel.acting import within_quotas
from onggi.kernel.files import rename_new
from onggi.paths import Paths
from onggi.store.trash import delete_tree
from onggi.volumes import copying

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_empty(directory_fd: int) -> bool:
    """Is nothing in it? A file system's own lost+found counts as nothing."""
    return not set(os.listdir(directory_fd)) - {"lost+found"}


def fill(paths: Paths, name: str, write: Callable[[int], object]) -> None:
    """Have `write` fill a directory (a descriptor), and make that the volume's content.

    Raises NoSpace, and what `write` raises: then the volume is as it was.
    """
    with _named(name), within_quotas():
        _fill(paths, name, write)
    failpoints.hit("volume.filled")
    finish(paths, name)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """A full disk is told of with the volume, not with the file that happened to be the last."""
    try:
        yield
    except NoSpace as error:
        raise NoSpace(f"fill volume {name}: {error.message}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoSpace(f"fill volume {name}: {os.strerror(error.errno).lower()}") from error


def _fill(paths: Paths, name: str, write: Callable[[int], object]) -> None:
    filling = f"{paths.volumes_dir}/{name}/_filling"
    delete_tree(filling)
    os.mkdir(filling, 0o755)
    try:
        fd = os.open(filling, _FLAGS)
        try:
            _look_like(paths.volume_data(name), fd)
            write(fd)
        finally:
            os.close(fd)
        failpoints.hit("volume.filling")
    except BaseException:
        delete_tree(filling)
        raise
    os.rename(filling, f"{paths.volumes_dir}/{name}/_filled")


def finish(paths: Paths, name: str) -> None:
    """Take up what was cut off: throw away what is not whole, move what is. Nothing to do is no fault."""
    directory = f"{paths.volumes_dir}/{name}"
    delete_tree(f"{directory}/_filling")
    try:
        filled_fd = os.open(f"{directory}/_filled", _FLAGS)
    except FileNotFoundError:
        return
    try:
        data_fd = os.open(paths.volume_data(name), _FLAGS)
        try:
            before = os.fstat(filled_fd)  # to move entries away is to change it
            for entry in os.listdir(filled_fd):
                try:
                    rename_new(entry, filled_fd, data_fd)
                except FileExistsError:
                    continue
                failpoints.hit("volume.entry-moved")
            copying.facts(filled_fd, data_fd)
            os.utime(data_fd, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            os.close(data_fd)
    finally:
        os.close(filled_fd)
    delete_tree(f"{directory}/_filled")


def _look_like(directory: str, fd: int) -> None:
    """What is written keeps the owner and mode that the volume has, unless it says otherwise."""
    source = os.open(directory, _FLAGS)
    try:
        copying.facts(source, fd)
    finally:
        os.close(source)

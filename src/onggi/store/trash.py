"""Rename away, delete later: a removed directory is gone from its place in one system call.

    trash/NAME.N        whatever was renamed here; nothing refers to it

Whoever removes something need not wait for the deletion: after `work_behind()` a thread does it, that lives
while there is something to do. A crash between rename and deletion leaves only trash, which `empty` deletes
at the next start. Deletion goes by descriptors (openat, unlinkat, O_NOFOLLOW), so no link inside a
container's tree is ever followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from collections import deque

from onggi import failpoints

_NAME_CHARS = 60
MOST_WAITING = 64  # who removes faster than the disk deletes waits for it again


class Trash:
    """The trash/ directory of a root, on the same file system as what is thrown into it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._behind = False
        self._waiting: deque[str] = deque()
        self._worker: threading.Thread | None = None
        os.makedirs(path, mode=0o700, exist_ok=True)

    def work_behind(self) -> None:
        """From now on `discard` returns at once; `settle` waits."""
        self._behind = True

    def settle(self) -> None:
        """Wait until what was discarded is deleted."""
        worker = self._worker
        if worker is not None:
            worker.join()

    def move(self, path: str) -> str | None:
        """Rename a file or directory here; its new path, or None when there was nothing."""
        name = os.path.basename(path)[:_NAME_CHARS]  # a name may be as long as the file system allows
        target = f"{self.path}/{name}.{secrets.token_hex(8)}"
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return None
        failpoints.hit("trash.moved")
        return target

    def throw(self, path: str) -> None:
        """Rename away and delete at once."""
        target = self.move(path)
        if target is not None:
            self.discard(target)

    def discard(self, target: str) -> None:
        """Delete what `move` returned; what cannot be deleted now stays for `empty`."""
        with self._lock:
            if self._behind and len(self._waiting) < MOST_WAITING:
                self._waiting.append(target)
                if self._worker is None:
                    self._worker = threading.Thread(target=self._work, name="trash", daemon=True)
                    self._worker.start()
                return
        _delete_if_possible(target)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._worker = None
                    return
                target = self._waiting.popleft()
            _delete_if_possible(target)

    def empty(self) -> int:
        """Delete everything here; returns how many things could not be deleted (they stay, for the
        next time).
        """
        left = 0
        for name in os.listdir(self.path):
            try:
                delete_tree(f"{self.path}/{name}")
            except OSError:
                left += 1
        return left


def _delete_if_possible(target: str) -> None:
    try:
        delete_tree(target)
    except OSError:
        return


def delete_tree(path: str) -> None:
    """Delete a file or a whole tree without following links. Raises OSError; gone already is no fault."""
    parent = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _delete(parent, os.path.basename(path))
    finally:
        os.close(parent)


def _delete(parent: int, name: str) -> None:
    """One name below a directory; a stack of names keeps the depth of a hostile tree off Python's stack."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        _unlink(parent, name)
        return
    _empty(parent, name)
    os.rmdir(name, dir_fd=parent)


def _empty(parent: int, name: str) -> None:
    """Everything below a directory. One descriptor per level, but at most a few hundred: deeper trees are
    flattened by renaming the lower directory up to the top first."""
    top = _open_dir(parent, name)
    try:
        pending = 0
        while _sweep(top, top, 0):
            pending += 1  # something was lifted to the top: once more
            if pending > 1_000_000:
                raise OSError(errno.ELOOP, "directory does not become empty", name)
    finally:
        os.close(top)


def _sweep(top: int, directory: int, depth: int) -> bool:
    """Delete what a directory holds; returns whether something was lifted to the top for another round."""
    lifted = False
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_dir in found:
        if not is_dir:
            _unlink(directory, name)
        elif depth >= 200:
            os.rename(name, f".lifted-{secrets.token_hex(8)}", src_dir_fd=directory, dst_dir_fd=top)
            lifted = True
        else:
            child = _open_dir(directory, name)
            try:
                lifted |= _sweep(top, child, depth + 1)
            finally:
                os.close(child)
            os.rmdir(name, dir_fd=directory)
    return lifted


def _open_dir(parent: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:  # rootless: a container may leave a directory without rights for its owner
        os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, flags, dir_fd=parent)


def _unlink(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass

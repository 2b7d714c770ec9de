"""What a layer's whiteouts become in its own tree: marks that the overlay of a container understands.

    overlay         devices 0:0, and trusted.overlay.opaque        the kernel's overlay
    overlay-user    devices 0:0, and user.overlay.opaque           the same, mounted in a user namespace
    files           .wh.NAME and .wh..wh..opq                      fuse-overlayfs, where no device can be made

What the layer itself brought stays, and hides what is below: a file by itself, a directory opaque. A file in
the place of a device would hide what the layer brings later under that name, so files are made at the end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable

from onggi.images import whiteouts
from onggi.images.tree import OPEN_DIR, Tree, descriptor_path, lookup


class Devices:
    """The kernel's marks. Raises OSError, as everything here."""

    def __init__(self, tree: Tree, attribute: bytes = whiteouts.OPAQUE_XATTR) -> None:
        self._tree = tree
        self._attribute = attribute

    def opaque(self, fd: int) -> None:
        """Everything below this open directory is hidden."""
        os.setxattr(descriptor_path(fd), self._attribute, b"y")

    def whiteout(self, parent_fd: int, path: bytes, name: bytes, status: os.stat_result | None) -> None:
        """Take away what is below of a name in an open directory, whose own `status` is known."""
        if status is None:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent_fd)
        elif stat.S_ISDIR(status.st_mode):
            fd = os.open(name, OPEN_DIR, dir_fd=parent_fd)
            try:
                self.opaque(fd)
            finally:
                os.close(fd)

    def forget(self, below: bytes) -> None:
        """A directory, with what was to be marked in it, was removed; `below` ends with a slash."""

    def late(self) -> Iterable[bytes]:
        """What is to be marked once the layer is there."""
        return ()

    def make_late(self, path: bytes) -> None:
        """Mark one of these."""


class Files(Devices):
    """Files in the place of devices and attributes."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._gone: set[bytes] = set()

    def opaque(self, fd: int) -> None:
        _write(fd, whiteouts.OPAQUE, b"y")

    def whiteout(self, parent_fd: int, path: bytes, name: bytes, status: os.stat_result | None) -> None:
        self._gone.add(path)

    def forget(self, below: bytes) -> None:
        self._gone = {gone for gone in self._gone if not gone.startswith(below)}

    def late(self) -> Iterable[bytes]:
        return self._gone

    def make_late(self, path: bytes) -> None:
        directory, _, name = path.rpartition(b"/")
        parent_fd = self._tree.parent(directory)
        status = lookup(parent_fd, name)
        if status is None:
            _write(parent_fd, whiteouts.PREFIX + name)
        elif stat.S_ISDIR(status.st_mode):
            self.opaque(self._tree.parent(path))


def _write(dir_fd: int, name: bytes, text: bytes = b"") -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(name, flags, 0o600, dir_fd=dir_fd), "wb") as file:
        file.write(text)


MARKS: dict[str, Callable[[Tree], Devices]] = {
    "overlay": Devices,
    "overlay-user": lambda tree: Devices(tree, whiteouts.USER_OPAQUE_XATTR),
    "files": Files,
}

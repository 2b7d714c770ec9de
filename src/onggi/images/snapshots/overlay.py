"""Overlay snapshots: a directory for each layer, joined by the kernel at mount time.

A layer's directory holds what the layer adds; what it deletes is a character device 0:0, an opaque directory
has the attribute trusted.overlay.opaque (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
directories"). So a layer does not depend on what is below it and can be unpacked before that is known.
redirect_dir and metacopy are switched off: an upper directory must hold whole files under their own names to
be made into a layer.
In a user namespace the attributes are user.overlay.* instead (`userxattr`, Linux 5.11). Where the kernel
mounts no overlay there, fuse-overlayfs(1) does: it reads both, and writes user.fuseoverlayfs.*.
Not here: the mount itself. Options longer than a page need fsconfig(2) with one "lowerdir+" for each layer
(Linux 6.5); images of up to 120 layers stay below it under the default root.
"""

from __future__ import annotations

import os

from onggi.images.snapshots.protocol import Mount
from onggi.images.snapshots.rows import EMPTY, Rows
from onggi.kernel import ids
from onggi.spawn.plan import PROGRAM
from onggi.store.database import Database
from onggi.store.trash import Trash

MS_RDONLY, MS_BIND = 1, 4096
OPTIONS = "index=off,redirect_dir=off,metacopy=off"
USER_OPTIONS = "index=off,userxattr"  # which switches redirect_dir and metacopy off, and refuses the words


def options() -> str:
    """How overlays are mounted by this process: trusted.* is for the host's root alone (xattr(7))."""
    return OPTIONS if ids.initial() else USER_OPTIONS


class Overlay(Rows):
    """Snapshots on overlayfs."""

    driver = "overlay2"
    stackable = True

    def __init__(self, root: str, database: Database, trash: Trash) -> None:
        super().__init__(root, database, trash)
        self.overlay_options = options()
        self.whiteouts = "overlay" if ids.initial() else "overlay-user"

    def mounts(self, key: str, *, over: str = "") -> list[Mount]:
        directory = self._directory(key)
        below = [over] if over else []
        lowers = ":".join([*below, *self.lowers(key)] or [self._empty])
        data = f"lowerdir={lowers},upperdir={directory}/fs,workdir={directory}/work,{self.overlay_options}"
        return [("overlay", "/", "overlay", 0, data, 0, None, 0)]

    def view(self, name: str, *, over: str = "") -> list[Mount]:
        """Without an upper directory overlayfs wants two lower ones at least; the empty one makes up
        for it. The empty tree itself is a bind mount: overlayfs takes no directory twice.
        """
        if not name:
            return [(self._empty, "/", "bind", MS_BIND | MS_RDONLY, "", 0, None, 0)]
        lowers = [self.tree(name), *([over] if over else ()), *self.lowers(name), self._empty]
        data = f"lowerdir={':'.join(lowers)},{self.overlay_options}"
        return [("overlay", "/", "overlay", MS_RDONLY, data, 0, None, 0)]

    def data(self, key: str) -> dict[str, str]:
        directory = self._directory(key)
        lowers = self.lowers(key)
        facts = {"LowerDir": ":".join(lowers)} if lowers else {}
        return {
            **facts,
            "MergedDir": f"{directory}/merged",
            "UpperDir": f"{directory}/fs",
            "WorkDir": f"{directory}/work",
        }

    def _fill(self, directory: str, parent: str) -> None:
        """The root of a container has the mode and owner of the topmost layer's root, as `upper`
        decides it.
        """
        os.mkdir(f"{directory}/work", 0o700)
        os.mkdir(f"{directory}/fs")
        below = self.tree(parent) if parent else self._empty
        facts = os.stat(below)
        os.chown(f"{directory}/fs", facts.st_uid, facts.st_gid)
        os.chmod(f"{directory}/fs", facts.st_mode & 0o7777)

    @property
    def _empty(self) -> str:
        return f"{self.root}/{EMPTY}/fs"


class FuseOverlay(Overlay):
    """The same, shown by a program: spawn/fuse.py."""

    driver = "fuse-overlayfs"
    served = True

    def __init__(
        self, root: str, database: Database, trash: Trash, program: str, *, files: bool = False
    ) -> None:
        """`files`: the file system takes no devices 0:0 or no attributes, so layers are marked by files."""
        super().__init__(root, database, trash)
        self.overlay_options = f"{PROGRAM}={program}"
        if files:
            self.whiteouts = "files"

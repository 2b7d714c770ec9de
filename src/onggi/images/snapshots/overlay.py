"""Overlay snapshots: a directory for each layer, joined by the kernel at mount time.

A layer's directory holds what the layer adds; what it deletes is a character device 0:0, an opaque directory
has the attribute trusted.overlay.opaque (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
directories"). So a layer does not depend on what is below it and can be unpacked before that is known.
redirect_dir and metacopy are switched off: an upper directory must hold whole files under their own names to
be made into a layer.
Not here: the mount itself. Options longer than a page need fsconfig(2) with one "lowerdir+" for each layer
(Linux 6.5); images of up to 120 layers stay below it under the default root.
"""

from __future__ import annotations

import os

from onggi.images.snapshots.protocol import Mount
from onggi.images.snapshots.rows import EMPTY, Rows

MS_RDONLY = 1
OPTIONS = "index=off,redirect_dir=off,metacopy=off"


class Overlay(Rows):
    """Snapshots on overlayfs."""

    driver = "overlay2"
    whiteouts = "overlay"
    stackable = True

    def mounts(self, key: str, *, over: str = "") -> list[Mount]:
        directory = self._directory(key)
        below = [over] if over else []
        lowers = ":".join([*below, *self.lowers(key)] or [self._empty])
        data = f"lowerdir={lowers},upperdir={directory}/fs,workdir={directory}/work,{OPTIONS}"
        return [("overlay", "/", "overlay", 0, data, 0, None, 0)]

    def view(self, name: str) -> list[Mount]:
        """Without an upper directory overlayfs wants two lower ones at least; the empty one makes up
        for it.
        """
        lowers = [self.tree(name), *self.lowers(name), self._empty] if name else [self._empty] * 2
        data = f"lowerdir={':'.join(lowers)},{OPTIONS}"
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

"""How a layer says that something is gone: in tar, and in a directory that overlayfs reads.

    tar (OCI image layer specification)        overlayfs (Documentation/filesystems/overlayfs.rst)
    dir/.wh.NAME           NAME is gone        dir/NAME is a character device 0:0
    dir/.wh..wh..opq       all below is gone   dir has trusted.overlay.opaque=y (or user.overlay.opaque)

A whiteout speaks of the layers below, never of its own. Other `.wh..wh.*` names are aufs's own and are
skipped.
"""

from __future__ import annotations

import errno
import os
import stat

from onggi.images.tar.entry import BadArchive, shown
from onggi.images.tree import descriptor_path

PREFIX = b".wh."
META = b".wh..wh."
OPAQUE = b".wh..wh..opq"
OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")
OPAQUE_XATTR = b"trusted.overlay.opaque"
USER_OPAQUE_XATTR = b"user.overlay.opaque"


def hidden(name: bytes) -> bytes:
    """The name that a whiteout takes away. Refuses those that would name another directory."""
    target = name[len(PREFIX) :]
    if target in (b"", b".", b".."):
        raise BadArchive(f"{shown(name)!r} is not a whiteout: it names no member of its directory")
    return target


def is_whiteout(status: os.stat_result) -> bool:
    """Whether overlayfs takes this for a whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(fd: int) -> bool:
    """Whether overlayfs hides everything below this open directory."""
    for name in (OPAQUE_XATTR, USER_OPAQUE_XATTR):
        try:
            if os.getxattr(descriptor_path(fd), name) == b"y":
                return True
        except OSError as failure:
            if failure.errno not in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
                raise
    return False

"""How a layer says that something is gone: in tar, and in a directory that overlayfs reads.

    tar (OCI image layer specification)        overlayfs (Documentation/filesystems/overlayfs.rst)
    dir/.wh.NAME           NAME is gone        dir/NAME is a character device 0:0
    dir/.wh..wh..opq       all below is gone   dir has trusted.overlay.opaque=y (or user.overlay.opaque)

fuse-overlayfs(1) writes user.fuseoverlayfs.opaque and files .wh..wh..opq and .wh..opq, in every directory
that it makes, and for some names a file .wh.NAME. Nothing in it can be called so otherwise.

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
OVERLAY_XATTRS = (
    b"trusted.overlay.",
    b"user.overlay.",
    b"user.fuseoverlayfs.",
    b"security.fuseoverlayfs.",
    b"user.containers.override_stat",  # fuse-overlayfs would believe it, of owners and modes
)
OPAQUE_XATTR = b"trusted.overlay.opaque"
USER_OPAQUE_XATTR = b"user.overlay.opaque"
FUSE_OPAQUE = b".wh..opq"
FUSE_OPAQUE_XATTR = b"user.fuseoverlayfs.opaque"


def hidden(name: bytes) -> bytes:
    """The name that a whiteout takes away. Refuses those that would name another directory."""
    target = name[len(PREFIX) :]
    if target in (b"", b".", b".."):
        raise BadArchive(f"{shown(name)!r} is not a whiteout: it names no member of its directory")
    return target


def taken_away(name: bytes) -> bytes:
    """The name that a file of fuse-overlayfs's takes away; empty where it is none, or another mark of its."""
    if not name.startswith(PREFIX) or name.startswith(META) or name == FUSE_OPAQUE:
        return b""
    target = name[len(PREFIX) :]
    return b"" if target in (b".", b"..") else target


def listing(fd: int) -> tuple[list[bytes], set[bytes]]:
    """What is in a directory of a layer, and what fuse-overlayfs's files take away of those below."""
    names = [os.fsencode(name) for name in os.listdir(fd)]
    return (
        [name for name in names if not name.startswith(PREFIX)],
        {taken_away(name) for name in names} - {b""},
    )


def is_whiteout(status: os.stat_result) -> bool:
    """Whether overlayfs takes this for a whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(fd: int) -> bool:
    """Whether everything below this open directory is hidden."""
    for name in (OPAQUE_XATTR, USER_OPAQUE_XATTR, FUSE_OPAQUE_XATTR):
        try:
            if os.getxattr(descriptor_path(fd), name) == b"y":
                return True
        except OSError as failure:
            if failure.errno not in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
                raise
    return _mark(fd) is not None


def made_by_program(fd: int) -> bool:
    """Whether fuse-overlayfs has marked this open directory: it marks all that it makes, whether there is
    something below or not. The file of a layer that was unpacked says "y".
    """
    found = _mark(fd)
    return found is not None and found.st_size == 0


def _mark(fd: int) -> os.stat_result | None:
    try:
        return os.stat(OPAQUE, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None

"""Choose a snapshotter: overlay by the kernel where it can, else by fuse-overlayfs(1), else copies.

What was chosen is kept in the database (state, "storage-driver"): layers that one driver has unpacked mean
nothing to another. It is chosen anew while there is no snapshot.

A probe makes a detached overlay of three directories under the root; nothing is attached anywhere.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

from onggi.errors import InvalidParameter
from onggi.images import whiteouts
from onggi.images.snapshots.native import Native
from onggi.images.snapshots.overlay import FuseOverlay, Overlay, options
from onggi.images.snapshots.protocol import Snapshots
from onggi.kernel import ids, mounts
from onggi.spawn import fuse
from onggi.store.database import Database
from onggi.store.trash import Trash

NAMES = {"overlay2": "overlay2", "overlay": "overlay2", "fuse-overlayfs": "fuse-overlayfs",
         "native": "vfs", "vfs": "vfs"}  # fmt: skip
PROGRAM_PATH = "/usr/bin:/usr/local/bin:/bin"
KEY = "storage-driver"


def detect(root: str, database: Database, trash: Trash, driver: str = "") -> Snapshots:
    """The named snapshotter, or the one that made what is there, or the best that works here.

    Raises InvalidParameter for a name that is not known, that is not what made the snapshots that are there,
    or that does not work.
    """
    if driver and driver not in NAMES:
        raise InvalidParameter(f"storage driver {driver} is not known: overlay2, fuse-overlayfs, vfs")
    os.makedirs(root, exist_ok=True)
    made_by = _made_by(root, database)
    chosen = NAMES.get(driver) or made_by or _best(root)
    if made_by and chosen != made_by:
        raise InvalidParameter(
            f"storage driver {driver}: the layers in {root} were made by {made_by}; "
            "remove them first, or use another root"
        )
    found = _open(chosen, root, database, trash)
    database.write("INSERT OR REPLACE INTO state VALUES (?, ?)", KEY, chosen)
    return found


def _made_by(root: str, database: Database) -> str:
    """The driver of the snapshots that are there; nothing where there are none.

    Nobody wrote it down at first, when there were two: only overlays have work directories.
    """
    rows = database.read("SELECT id FROM snapshots")
    if not rows:
        return ""
    row = database.one("SELECT value FROM state WHERE key = ?", KEY)
    if row is not None:
        return str(row[0])
    return "overlay2" if any(os.path.isdir(f"{root}/{one[0]}/work") for one in rows) else "vfs"


def _best(root: str) -> str:
    if overlay_works(root):
        return "overlay2"
    return "fuse-overlayfs" if not fuse_fails(root) else "vfs"


def _open(chosen: str, root: str, database: Database, trash: Trash) -> Snapshots:
    if chosen == "vfs":
        return Native(root, database, trash)
    if chosen == "overlay2":
        return Overlay(root, database, trash)
    why = fuse_fails(root)
    if why:
        raise InvalidParameter(f"storage driver fuse-overlayfs does not work here: {why}")
    return FuseOverlay(root, database, trash, _program(), files=not takes_marks(root))


def overlay_works(root: str) -> bool:
    """Whether the kernel's overlay takes directories of this file system as upper and work directory."""
    with _Probe(root) as probe:
        words = [word.partition("=") for word in options().split(",")]
        given = [*probe.directories(), *((key, value if equals else None) for key, equals, value in words)]
        try:
            os.close(mounts.make_filesystem("overlay", "overlay", given))
        except OSError:
            return False
    return True


def fuse_fails(root: str) -> str:
    """Why fuse-overlayfs does not work here; nothing where it does."""
    program = _program()
    if not program:
        return "the program fuse-overlayfs is not installed (package fuse-overlayfs)"
    with _Probe(root) as probe:
        try:
            tree_fd = fuse.detached(program, [f"{probe.path}/lower"], probe.directories()[1:], 0)
            try:
                os.stat(tree_fd)
            finally:
                os.close(tree_fd)
        except OSError as error:
            return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return ""


def takes_marks(root: str) -> bool:
    """Whether layers can be marked as overlayfs does it: not on an overlay, nor where no attributes are."""
    with _Probe(root) as probe:
        try:
            os.mknod(f"{probe.path}/lower/gone", stat.S_IFCHR, 0)
            kind = whiteouts.OPAQUE_XATTR if ids.initial() else whiteouts.USER_OPAQUE_XATTR
            os.setxattr(f"{probe.path}/lower", kind, b"y")
        except OSError:
            return False
    return True


def _program() -> str:
    return shutil.which("fuse-overlayfs", path=PROGRAM_PATH) or ""


class _Probe:
    """Three directories beside the snapshots, for as long as the block takes."""

    def __init__(self, root: str) -> None:
        self.path = tempfile.mkdtemp(dir=os.path.dirname(root), prefix="probe-")

    def directories(self) -> list[tuple[str, str | None]]:
        return [(f"{name}dir", f"{self.path}/{name}") for name in ("lower", "upper", "work")]

    def __enter__(self) -> _Probe:
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{self.path}/{name}")
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path)

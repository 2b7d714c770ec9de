"""Choose a snapshotter: overlay where this kernel can mount it on this file system, else native.

The probe makes a detached overlay mount of three directories under the root; nothing is attached anywhere.
"""

from __future__ import annotations

import os
import tempfile

from onggi.errors import InvalidParameter
from onggi.images.snapshots.native import Native
from onggi.images.snapshots.overlay import OPTIONS, Overlay
from onggi.images.snapshots.protocol import Snapshots
from onggi.kernel import mounts
from onggi.store.database import Database
from onggi.store.trash import Trash

NAMES = {"overlay2": "overlay", "overlay": "overlay", "native": "native", "vfs": "native"}


def detect(root: str, database: Database, trash: Trash, driver: str = "") -> Snapshots:
    """The named snapshotter, or the best that works here. Raises InvalidParameter for an unknown name."""
    if driver and driver not in NAMES:
        raise InvalidParameter(f"storage driver {driver} is not known: overlay2, vfs")
    os.makedirs(root, exist_ok=True)
    chosen = NAMES[driver] if driver else ("overlay" if overlay_works(root) else "native")
    return Overlay(root, database, trash) if chosen == "overlay" else Native(root, database, trash)


def overlay_works(root: str) -> bool:
    """Whether overlayfs takes directories of this file system as upper and work directory."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(root), prefix="probe-") as probe:
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{probe}/{name}")
        options: list[tuple[str, str | None]] = [
            ("lowerdir", f"{probe}/lower"),
            ("upperdir", f"{probe}/upper"),
            ("workdir", f"{probe}/work"),
        ]
        options += [(key, value) for key, _, value in (o.partition("=") for o in OPTIONS.split(","))]
        try:
            fd = mounts.make_filesystem("overlay", "overlay", options)
        except OSError:
            return False
        os.close(fd)
    return True

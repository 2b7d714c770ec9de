"""What every container's root has, and its image need not: places for our mounts, /.dockerenv, /etc/mtab.

Docker calls it the init layer (daemon/initlayer). It lies between the image's layers and the container's own,
so `diff` and `commit` see nothing of it, and is made once for an image, beside its uppermost layer. Where
snapshots are copies nothing can lie between: then it is copied into each container's tree (`begin`).
"""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING

from onggi.images import places, view
from onggi.images.snapshots.native import copy_over

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.images.places import Target
    from onggi.images.snapshots.protocol import Mount

PLACES: tuple[tuple[Target, ...], ...] = (  # those below others come after them
    (*places.ENGINES, ("/.dockerenv", False)),
    (("/dev/pts", True), ("/dev/shm", True), ("/dev/console", False)),
)


_making = threading.Lock()


def begin(engine: Engine, record: ContainerRecord) -> None:
    """The container's snapshot was made. Blocking. Raises OSError."""
    if not engine.snapshots.stackable:
        copy_over(_made(engine, record.snapshot), engine.snapshots.tree(record.snapshot))


def lowers(engine: Engine, record: ContainerRecord) -> list[str]:
    """What lies below the container's own layer, nearest first. Blocking. Raises NotFound."""
    below = engine.snapshots.below(record.snapshot)
    over = present(engine, record)
    return [over, *below] if over else below


def present(engine: Engine, record: ContainerRecord) -> str:
    """The directory, where there is one. Blocking. Raises NotFound."""
    over = _place(engine, record.snapshot)
    return over if os.path.isdir(over) else ""


def mounts(engine: Engine, record: ContainerRecord) -> list[Mount]:
    """The root of a container. Blocking. Raises NotFound, OSError."""
    return engine.snapshots.mounts(record.snapshot, over=_over(engine, record.snapshot))


def seen(engine: Engine, record: ContainerRecord) -> list[Mount]:
    """The same, read-only, so that any number may look. Blocking. Raises NotFound, OSError."""
    return engine.snapshots.view(record.snapshot, over=_over(engine, record.snapshot))


def _over(engine: Engine, snapshot: str) -> str:
    return _made(engine, snapshot) if engine.snapshots.stackable else ""


def _place(engine: Engine, snapshot: str) -> str:
    return f"{engine.snapshots.beside(engine.snapshots.parent(snapshot))}/init"


def _made(engine: Engine, snapshot: str) -> str:
    over = _place(engine, snapshot)
    if not os.path.isdir(over):
        with _making:
            if not os.path.isdir(over):
                _make(engine, engine.snapshots.parent(snapshot), over)
    return over


def _make(engine: Engine, parent: str, over: str) -> None:
    """Whole, or not there."""
    new = f"{over}.new"
    shutil.rmtree(new, ignore_errors=True)
    os.mkdir(new)
    root_fd = view.open_root(engine.snapshots.view(parent))
    try:
        facts = os.fstat(root_fd)
        os.chown(new, facts.st_uid, facts.st_gid)
        os.chmod(new, facts.st_mode & 0o7777)
        for group in PLACES:
            places.make_over(root_fd, new, places.missing(root_fd, list(group)))
        places.link_over(root_fd, new, b"etc/mtab", b"/proc/mounts")
    finally:
        os.close(root_fd)
    if os.path.exists(f"{new}/.dockerenv"):
        os.chmod(f"{new}/.dockerenv", 0o755)
    os.rename(new, over)

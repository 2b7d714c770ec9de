"""What a snapshotter promises, and the life of a snapshot.

    create(key, parent, owner)      an active snapshot: a writable tree on top of a committed one, or on
    nothing
        |-- tree(key)               the directory that a layer's tar is applied to (while a layer is unpacked)
        |-- mounts(key)             the mounts that show it as a container's root (while a container lives)
    commit(key, name)               it is a layer now: immutable, known by its chain id
        |-- view(name)              read-only mounts
        |-- create(..., parent=name) and so on
    remove(key)                     renamed away first, deleted later; refused while another stands on it

    active --commit--> committed --remove--> gone         active --remove--> gone

A snapshot has a row in the database (store/migrations.py, table snapshots) before it has a directory:
`making` until the directory is whole, `ready`, `removing`. After a crash `reconcile` removes what was not
ready and directories without a row, and reports rows whose directory is lost.
A snapshotter returns mounts and never mounts. Directories have short names, so that the mount options of a
tall image fit into the page that mount(2) takes.
Not here: tars (images/apply.py), which layers belong to an image (images/).
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

# spawn/plan.py: source, target, fstype, flags, data, propagation, idmap, extra
Mount: TypeAlias = tuple[str, str, str, int, str, int, tuple[str, str] | None, int]


class Usage(msgspec.Struct, frozen=True):
    """What a snapshot itself takes on disk, its parents not counted; hard links count once."""

    bytes: int
    inodes: int


class Reconciled(msgspec.Struct, frozen=True):
    """What `reconcile` found: removed keys or directory names, and keys whose directory is lost."""

    removed: list[str]
    lost: list[str]


class Snapshots(Protocol):
    """Trees on disk. Methods may be called from several threads, for one key from one at a time."""

    driver: str  # Docker's word for it: overlay2, fuse-overlayfs, vfs
    whiteouts: str  # what images/apply.py makes of them in `tree`: overlay, overlay-user, files, delete
    served: bool  # a program shows it (spawn/fuse.py): with the rights of the engine, and without id maps
    overlay_options: str  # of an overlay beside the snapshots, such as a copy-on-write mount
    stackable: bool  # a layer can be unpacked before its parent is known; then commit names the parent

    def create(self, key: str, parent: str, owner: str, *, project: int = 0) -> None:
        """Make an active snapshot. `owner` says whose it is: "container", "unpack", "build".

        `project` is one of the file system's that limits what the snapshot takes; 0 is none.
        Raises Conflict, NotFound, System.
        """

    def tree(self, key: str) -> str:
        """The directory that holds what this snapshot adds (overlay) or shows (native)."""

    def lowers(self, key: str) -> list[str]:
        """The directories below it, nearest first; for images/view.py."""

    def below(self, key: str) -> list[str]:
        """Those of them that together show what it stands on; for images/changes.py. A copy is whole."""

    def mounts(self, key: str, *, over: str = "") -> list[Mount]:
        """The mounts, on "/", of an active snapshot. Where `stackable`, `over` is a directory that lies
        between it and what is below: it is seen, and is no part of what the snapshot adds.
        """

    def view(self, name: str, *, over: str = "") -> list[Mount]:
        """Read-only mounts, on "/", of a snapshot; of an empty tree for the empty name. `over` as above."""

    def parent(self, key: str) -> str:
        """What a snapshot stands on; empty where it stands on nothing."""

    def beside(self, name: str) -> str:
        """The directory that holds the tree of a committed snapshot, or the empty one, and goes with it."""

    def commit(self, key: str, name: str, parent: str = "") -> None:
        """Make an active snapshot a committed one. Where `stackable`, `parent` may be given only now.

        Raises Conflict when the name is taken: the caller then removes the key and uses what is there.
        """

    def replace(self, key: str, name: str, parent: str) -> None:
        """Put an active snapshot in the place of a committed one whose tree is lost or damaged.

        What stands on that one stands on the new tree from then on; nobody may have the old one mounted.
        """

    def exists(self, key: str) -> bool:
        """Whether there is a ready snapshot of that key."""

    def remove(self, key: str) -> None:
        """Remove; gone already is no fault. Raises Conflict while another snapshot stands on it."""

    def usage(self, key: str) -> Usage:
        """Disk use of this snapshot alone."""

    def data(self, key: str) -> dict[str, str]:
        """GraphDriver.Data of inspect."""

    def reconcile(self) -> Reconciled:
        """Once at start, before anything else."""

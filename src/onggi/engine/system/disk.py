"""What lies on the disk below the engine's root, and whose it is: the sum is what `du -sx` says.

    containers/ID, snapshots of a container      the container's: its layer, its log, /etc files, what it
                                                 changed in mounts that are copy-on-write
    volumes/NAME                                 the volume's
    snapshots of layers, blobs                   an image's, or where no image has them the build cache's
    build/TREE                                   the build cache's
    all else                                     counted with the images: partial blobs, the database, the
                                                 trash, the directories themselves

Bytes are allocated blocks, each inode once; what is mounted below the root is not counted. Layers never
change, so each is measured once in an engine's life.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from onggi.volumes.local import usage_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onggi.engine.engine import Engine

WHOLE = ("snapshots", "containers", "volumes", "build")  # directories whose entries are told apart


class Disk(NamedTuple):
    """Bytes by snapshot key, container id, volume name, tree of the build cache, digest; `total` is all."""

    total: int
    snapshots: dict[str, int]
    containers: dict[str, int]
    volumes: dict[str, int]
    trees: dict[str, int]
    blobs: dict[str, int]


def measure(engine: Engine) -> Disk:
    """Blocking: reads the facts of every file but those of layers that are known."""
    paths = engine.paths
    keys = _keys(engine)
    snapshots, named = _snapshots(engine, keys)
    containers = _entries(paths.containers_dir)
    volumes = _entries(paths.volumes_dir)
    trees = _entries(paths.build_dir)
    told = (snapshots, containers, volumes, trees)
    total = _own(paths.root) + sum(_own(f"{paths.root}/{name}") for name in WHOLE)
    total += sum(sum(found.values()) for found in told)
    total += sum(usage_bytes(entry.path) for entry in _scan(paths.root) if entry.name not in WHOLE)
    blobs = {f"sha256:{entry.name}": _blocks(entry) for entry in _scan(paths.blobs_dir)}
    return Disk(total, named, containers, volumes, trees, blobs)


def _keys(engine: Engine) -> dict[str, tuple[str, bool]]:
    """Directory of a snapshot -> (key, does it never change?)."""
    rows = engine.database.read("SELECT id, key, kind FROM snapshots WHERE state = 'ready'")
    return {id: (key, kind == "committed") for id, key, kind in rows}


def _snapshots(engine: Engine, keys: dict[str, tuple[str, bool]]) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes by directory, and of those that a row names by key."""
    known = engine.layer_bytes
    found: dict[str, int] = {}
    for entry in _scan(engine.paths.snapshots_dir):
        whole = keys.get(entry.name, ("", False))[1]
        size = known.get(entry.name) if whole else None
        found[entry.name] = usage_bytes(entry.path) if size is None else size
    engine.layer_bytes = {name: size for name, size in found.items() if keys.get(name, ("", False))[1]}
    return found, {keys[name][0]: size for name, size in found.items() if name in keys}


def _entries(directory: str) -> dict[str, int]:
    return {entry.name: usage_bytes(entry.path) for entry in _scan(directory)}


def _scan(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from list(entries)
    except FileNotFoundError:
        return


def _own(path: str) -> int:
    """Blocks of a directory itself."""
    try:
        return os.stat(path, follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def _blocks(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0

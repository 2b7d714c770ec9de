"""The local volume driver: a directory for each volume.

    volumes/NAME/_data      what containers see; root:root, 0755 until the image's content is copied up
                 _filling, _filled      on the way there (filling.py)

A name becomes a path only after `check_name`. Removal renames into trash/ first (store/trash.py), so a volume
is gone at once, and a crash leaves nothing but trash. Blocking.
Not here: rows, owners, containers (engine/volumes/), volumes that are mounts (mounting.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from onggi.errors import InvalidParameter, System
from onggi.paths import Paths
from onggi.store.trash import Trash, delete_tree
from onggi.volumes import mounting

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_NAME_BYTES = 255


def check_name(name: str) -> None:
    """Raises InvalidParameter, in dockerd's words, for what cannot be a volume's name."""
    if len(name) == 1 and name.isascii() and name.isalnum():
        raise InvalidParameter(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if len(name) > _NAME_BYTES and _NAME.fullmatch(name):
        raise InvalidParameter(f"create {name}: volume name is too long: {len(name)} bytes of {_NAME_BYTES}")
    if _NAME.fullmatch(name) is None:
        raise InvalidParameter(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path"
        )


def make(paths: Paths, name: str, when_new: Callable[[str], None] = lambda _: None) -> str:
    """Make the volume's directory where it lacks; returns the path of its data.

    `when_new` is told of the directory before anything is in it.
    """
    directory = f"{paths.volumes_dir}/{name}"
    os.makedirs(directory, mode=0o701, exist_ok=True)
    if not os.path.lexists(paths.volume_data(name)):
        when_new(directory)
    data = paths.volume_data(name)
    try:
        os.mkdir(data, 0o755)
        os.chmod(data, 0o755)  # whatever the umask is
    except FileExistsError:
        pass
    return data


def move_away(paths: Paths, name: str) -> str | None:
    """Take the volume's directory out of its place; the path in the trash, which is to be deleted.

    What is mounted on it is unmounted first: deleting it would delete what is mounted. Raises System where
    something still is.
    """
    mounting.unmount(paths, name)
    away = Trash(paths.trash_dir).move(f"{paths.volumes_dir}/{name}")
    if away is not None and any(f"{place}/".startswith(f"{away}/") for place in mounting.mounted()):
        raise System(f"remove {name}: something is mounted below {away}, which is left as it is")
    return away


def rename(paths: Paths, name: str, new: str) -> None:
    """Give the volume's directory another name; done already is no fault.

    A directory that no row owns may be in the way: it goes, for the volume's own content is the other one.
    """
    if os.path.isdir(f"{paths.volumes_dir}/{name}"):
        away = move_away(paths, new)
        os.rename(f"{paths.volumes_dir}/{name}", f"{paths.volumes_dir}/{new}")
        if away is not None:
            delete_tree(away)


def names(paths: Paths) -> list[str]:
    """The directories that are there."""
    try:
        return sorted(os.listdir(paths.volumes_dir))
    except FileNotFoundError:
        return []


def usage_bytes(directory: str) -> int:
    """What `du -x` says: allocated blocks, each inode once, the directory itself too, and nothing that is
    mounted below; files that vanish meanwhile do not count."""
    try:
        top = os.stat(directory, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    seen: set[tuple[int, int]] = set()
    waiting = [directory]
    size = top.st_blocks * 512
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            continue
        for path, facts in found:
            if facts.st_dev != top.st_dev:
                continue
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                size += facts.st_blocks * 512
            if facts.st_mode & 0o170000 == 0o040000:
                waiting.append(path)
    return size

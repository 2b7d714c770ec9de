"""The local volume driver: a directory for each volume.

    volumes/NAME/_data      what containers see; root:root, 0755 until the image's content is copied up

A name becomes a path only after `check_name`. Removal renames into trash/ first (store/trash.py), so a volume
is gone at once, and a crash leaves nothing but trash. Blocking.
Not here: rows, owners, containers (engine/volumes/).
"""

from __future__ import annotations

import os
import re

from onggi.errors import InvalidParameter, NotImplemented_
from onggi.paths import Paths
from onggi.store.trash import Trash

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_NAME_BYTES = 255
_MOUNT_OPTIONS = frozenset({"type", "o", "device", "size"})  # dockerd's local driver has these


def check_name(name: str) -> None:
    """Raises InvalidParameter, in dockerd's words, for what cannot be a volume's name."""
    if len(name) == 1 and name.isascii() and name.isalnum():
        raise InvalidParameter(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if _NAME.fullmatch(name) is None or len(name) > _NAME_BYTES:
        raise InvalidParameter(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path"
        )


def check_options(name: str, options: dict[str, str]) -> None:
    """Raises for driver options: none is known but dockerd's mount options, which are not done yet."""
    for option in options:
        if option not in _MOUNT_OPTIONS:
            raise InvalidParameter(f'create {name}: invalid option: "{option}"')
        raise NotImplemented_(
            f"create {name}: option {option}: volumes that are mounts are not supported yet"
        )


def make(paths: Paths, name: str) -> str:
    """Make the volume's directory where it lacks; returns the path of its data."""
    directory = f"{paths.volumes_dir}/{name}"
    os.makedirs(directory, mode=0o701, exist_ok=True)
    data = paths.volume_data(name)
    try:
        os.mkdir(data, 0o755)
        os.chmod(data, 0o755)  # whatever the umask is
    except FileExistsError:
        pass
    return data


def move_away(paths: Paths, name: str) -> str | None:
    """Take the volume's directory out of its place; the path in the trash, which is to be deleted."""
    return Trash(paths.trash_dir).move(f"{paths.volumes_dir}/{name}")


def names(paths: Paths) -> list[str]:
    """The directories that are there."""
    try:
        return sorted(os.listdir(paths.volumes_dir))
    except FileNotFoundError:
        return []


def usage_bytes(directory: str) -> int:
    """What du(1) says: allocated blocks, each inode once; files that vanish meanwhile do not count."""
    seen: set[tuple[int, int]] = set()
    waiting = [directory]
    size = 0
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            continue
        for path, facts in found:
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                size += facts.st_blocks * 512
            if facts.st_mode & 0o170000 == 0o040000:
                waiting.append(path)
    return size

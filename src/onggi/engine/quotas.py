"""Limits of what a container or a volume takes on disk: project quotas of the file system (kernel/quotas.py).

    give       row, then the limit                      a container's id, or `volume/NAME`
    put        a new directory into its project         snapshot, copies on write, volume
    hold       the limit told again before a start, so that nobody runs who believes in a lost one
    take_back  limit off, then the row

Each engine has a range of project ids of its own, made from its root's path; an id of it that the file system
knows is left alone, as another program's. Blocking, but short: a row and a system call.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from onggi.engine.config import size_bytes
from onggi.errors import InvalidParameter, System
from onggi.images.snapshots.projects import put
from onggi.kernel import quotas
from onggi.kernel.files import EXT4_SUPER_MAGIC, filesystem_type
from onggi.paths import Paths
from onggi.store import projects
from onggi.store.database import Database

if TYPE_CHECKING:
    from onggi.engine.record import ContainerRecord

IDS = 1 << 14  # project ids of one engine
VOLUME = "volume/"
OPTION = "overlay2.size"
HOW = (
    "mount the file system of {place} with 'prjquota' (xfs; ext4 made with `mkfs.ext4 -O quota,project`, or "
    "changed by `tune2fs -O quota,project` while it is not mounted)"
)
RESOURCE = "The limit of the disk does not hold on ext4 for a container with CAP_SYS_RESOURCE."
log = logging.getLogger(__name__)


class Quotas:
    """Who has a limit here. `default_bytes` is for containers that ask for none; 0 is no limit."""

    def __init__(
        self, paths: Paths, database: Database, options: Iterable[str], *, served: bool = False
    ) -> None:
        """`served`: a program writes what containers write, with rights that pass a quota."""
        self._paths = paths
        self._served = served
        self._database = database
        self._held = projects.all_(database)
        digest = hashlib.sha256(paths.root.encode()).digest()
        first = 1 << 30 | int.from_bytes(digest[:2], "big") << 14
        self._pool = range(first, first + IDS)
        self.default_bytes = default_bytes(options)
        if self.default_bytes and (lacking := self.lacking(paths.snapshots_dir)):
            raise InvalidParameter(
                f"Storage option {OPTION} not supported. Filesystem does not support Project Quota: {lacking}"
            )

    def lacking(self, place: str) -> str:
        """What to do that a directory's file system has project quotas; empty where it has them."""
        if self._served and place == self._paths.snapshots_dir:
            return "the storage driver fuse-overlayfs writes past them"
        try:
            fd = _open(place)
        except FileNotFoundError:
            return HOW.format(place=place)
        try:
            if not quotas.enforced(fd):
                return HOW.format(place=place)
            quotas.usage(fd, self._pool.start)
            return ""
        except PermissionError:
            return "project quotas are for the root of the first user namespace alone"
        finally:
            os.close(fd)

    def check_container(self, options: dict[str, str]) -> int:
        """The limit that --storage-opt asks for, in bytes; 0 is none. Raises InvalidParameter."""
        size = self.default_bytes
        for option, value in options.items():
            if option.lower() != "size":
                raise InvalidParameter(f"Unknown option {option}")
            size = _size(value)
            lacking = self.lacking(self._paths.snapshots_dir)
            if lacking:
                raise InvalidParameter(
                    "--storage-opt is supported only for overlay over xfs with 'pquota' mount option, "
                    f"and over ext4 with 'prjquota': {lacking}"
                )
        return size

    def warnings(self, capabilities: list[str]) -> list[str]:
        """What a container with a limit may do that passes it."""
        if "CAP_SYS_RESOURCE" not in capabilities:
            return []
        fd = _open(self._paths.snapshots_dir)
        try:
            return [RESOURCE] if filesystem_type(fd) == EXT4_SUPER_MAGIC else []
        finally:
            os.close(fd)

    def check_volume(self, name: str, options: dict[str, str]) -> int:
        """The limit that `-o size` asks for, in bytes; 0 is none. Raises InvalidParameter."""
        size = _size(options["size"]) if options.get("size") else 0
        if not size:
            return 0
        if options.get("type") or options.get("device"):
            raise InvalidParameter(f"create {name}: size is of a directory, and says nothing of a mount")
        lacking = self.lacking(self._paths.volumes_dir)
        if lacking:
            raise InvalidParameter(f"create {name}: quota size requested but no quota support: {lacking}")
        return size

    def give(self, owner: str, size: int) -> int:
        """A limit of `size` bytes, 0 for none; the project id for directories. Raises Unavailable, System."""
        if not size:
            return 0
        fd = _open(self._place(owner))
        try:
            found = projects.take(
                self._database, owner, size, self._pool, lambda number: any(quotas.usage(fd, number))
            )
            self._held[owner] = found
            _limit(fd, owner, found)
        finally:
            os.close(fd)
        return found.id

    def project(self, owner: str) -> int:
        """Its project id, for directories that are made; 0 is none."""
        found = self._held.get(owner)
        return found.id if found else 0

    def put(self, owner: str, directory: str) -> None:
        """An empty directory into the owner's project, where it has one. Raises System."""
        if number := self.project(owner):
            put(directory, number)

    def limits(self, record: ContainerRecord) -> bool:
        """Does a container, or a volume of it, have a limit?"""
        return bool(self._of(record))

    def hold(self, record: ContainerRecord) -> None:
        """Before a start: tell its limits again. Raises System where nobody keeps to them any more."""
        for owner, found in self._of(record).items():
            place = self._place(owner)
            fd = _open(place)
            try:
                if not quotas.enforced(fd):
                    raise System(f"{owner} has a limit of {found.bytes} bytes: {HOW.format(place=place)}")
                _limit(fd, owner, found)
            finally:
                os.close(fd)

    def _of(self, record: ContainerRecord) -> dict[str, projects.Project]:
        if not self._held:
            return {}
        owners = [record.id, *(VOLUME + mount.name for mount in record.mounts if mount.type == "volume")]
        return {owner: self._held[owner] for owner in owners if owner in self._held}

    def take_back(self, owner: str) -> None:
        """Free the project; none is no fault. What is left below it (trash) counts for nobody."""
        found = self._held.get(owner)
        if found is None:
            return
        fd = _open(self._place(owner))
        try:
            quotas.set_limit(fd, found.id, 0)
        except OSError as error:  # a file system that has no quotas any more has no limit to take away
            if error.errno not in (errno.ESRCH, errno.ENOSYS):
                raise
        finally:
            os.close(fd)
        projects.give_back(self._database, owner)
        del self._held[owner]

    def rename(self, owner: str, new: str) -> None:
        """In the transaction that renames the owner."""
        projects.rename(self._database, owner, new)
        if owner in self._held:
            self._held[new] = self._held.pop(owner)

    def reconcile(self, known: set[str]) -> None:
        """At start: projects of nobody go."""
        for owner in set(self._held) - known:
            log.info("taking back the disk quota of unknown %s", owner)
            try:
                self.take_back(owner)
            except OSError as error:
                log.error("the disk quota of unknown %s is left: %s", owner, error)

    def _place(self, owner: str) -> str:
        return self._paths.volumes_dir if owner.startswith(VOLUME) else self._paths.snapshots_dir


def default_bytes(options: Iterable[str]) -> int:
    """`storage-opts` of the daemon. Raises InvalidParameter, in dockerd's words."""
    size = 0
    for text in options:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidParameter(f"Unable to parse key/value option: '{text}'")
        if key.strip().lower() not in (OPTION, "size"):
            raise InvalidParameter(f"overlay2: unknown option {key.strip().lower()}")
        size = _size(value.strip())
    return size


def _limit(fd: int, owner: str, found: projects.Project) -> None:
    try:
        quotas.set_limit(fd, found.id, found.bytes)
    except OSError as error:
        raise System(f"disk quota of {owner}, {found.bytes} bytes: {error.strerror}") from None


def _size(text: str) -> int:
    size = size_bytes(text)
    if size < 0:
        raise InvalidParameter(f"invalid size: '{text}'")
    return size


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

"""Native snapshots: each one is a whole copy of its parent; for file systems without overlay.

Files are cloned where the file system can (images/content.py). Hard links, holes, owners, times, extended
attributes and devices are kept.
Not here: what differs from the parent (images/changes.py compares the two trees).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from onggi.errors import InvalidParameter
from onggi.images.content import copy_content
from onggi.images.snapshots.overlay import options
from onggi.images.snapshots.protocol import Mount
from onggi.images.snapshots.rows import EMPTY, Rows
from onggi.store.database import Database
from onggi.store.trash import Trash

MS_RDONLY, MS_BIND = 1, 4096
NO_ATTRIBUTE = (errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM)
Links = dict[tuple[int, int], str]


class Native(Rows):
    """Snapshots by copying."""

    driver = "vfs"
    whiteouts = "delete"

    def __init__(self, root: str, database: Database, trash: Trash) -> None:
        super().__init__(root, database, trash)
        self.overlay_options = options()

    def mounts(self, key: str, *, over: str = "") -> list[Mount]:
        if over:
            raise InvalidParameter(f"snapshot {key}: nothing can lie between copies")
        return [(self.tree(key), "/", "bind", MS_BIND, "", 0, None, 0)]

    def view(self, name: str, *, over: str = "") -> list[Mount]:
        if over:
            raise InvalidParameter(f"snapshot {name}: nothing can lie between copies")
        tree = self.tree(name) if name else f"{self.root}/{EMPTY}/fs"
        return [(tree, "/", "bind", MS_BIND | MS_RDONLY, "", 0, None, 0)]

    def below(self, key: str) -> list[str]:
        return self.lowers(key)[:1]

    def data(self, key: str) -> dict[str, str]:
        return {"Dir": self.tree(key)}

    def _fill(self, directory: str, parent: str) -> None:
        if parent:
            copy_tree(self.tree(parent), f"{directory}/fs")
        else:
            os.mkdir(f"{directory}/fs", 0o755)


def copy_tree(source: str, target: str) -> None:
    """Copy a directory with all that is in it. Raises OSError; the target must not exist."""
    os.mkdir(target, 0o700)
    copy_over(source, target)


def copy_over(source: str, target: str) -> None:
    """Copy what is in a directory into another, and its own facts. Directories of one name are merged, with
    the facts that they have in the source; other names must be new. Raises OSError.
    """
    source_fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        target_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _copy_into(source_fd, target_fd, {}, target_fd, "")
            _copy_facts(source_fd, target_fd, os.fstat(source_fd))
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def _copy_into(source_fd: int, target_fd: int, links: Links, top_fd: int, path: str) -> None:
    """Everything in one directory; `links` remembers files of several names by their path below `top_fd`."""
    with os.scandir(source_fd) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        facts = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        if stat.S_ISDIR(facts.st_mode):
            _copy_dir(source_fd, target_fd, name, facts, links, top_fd, f"{path}{name}/")
            continue
        identity = (facts.st_dev, facts.st_ino)
        if facts.st_nlink > 1 and identity in links:
            os.link(links[identity], name, src_dir_fd=top_fd, dst_dir_fd=target_fd, follow_symlinks=False)
            continue
        links[identity] = f"{path}{name}"
        _copy_one(source_fd, target_fd, name, facts)


def _copy_dir(
    source_fd: int, target_fd: int, name: str, facts: os.stat_result, links: Links, top_fd: int, path: str
) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    child = os.open(name, flags, dir_fd=source_fd)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=target_fd)
        made = os.open(name, flags, dir_fd=target_fd)
        try:
            _copy_into(child, made, links, top_fd, path)
            _copy_facts(child, made, facts)
        finally:
            os.close(made)
    finally:
        os.close(child)


def _copy_one(source_fd: int, target_fd: int, name: str, facts: os.stat_result) -> None:
    if stat.S_ISREG(facts.st_mode):
        _copy_file(source_fd, target_fd, name, facts)
        return
    if stat.S_ISLNK(facts.st_mode):
        os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
    else:
        os.mknod(name, facts.st_mode, facts.st_rdev, dir_fd=target_fd)
        os.chmod(name, facts.st_mode & 0o7777, dir_fd=target_fd)
    os.chown(name, facts.st_uid, facts.st_gid, dir_fd=target_fd, follow_symlinks=False)
    times = (facts.st_atime_ns, facts.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target_fd, follow_symlinks=False)


def _copy_file(source_fd: int, target_fd: int, name: str, facts: os.stat_result) -> None:
    child = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_fd)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        made = os.open(name, flags, 0o600, dir_fd=target_fd)
        try:
            copy_content(child, made, facts.st_size)
            _copy_facts(child, made, facts)
        finally:
            os.close(made)
    finally:
        os.close(child)


def _copy_facts(source: int, target: int, facts: os.stat_result) -> None:
    """Owner before mode (chown(2) clears set-uid bits), attributes before times, times last."""
    os.fchown(target, facts.st_uid, facts.st_gid)
    os.fchmod(target, facts.st_mode & 0o7777)
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        names = []
    for name in names:
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in NO_ATTRIBUTE or name.startswith("user."):
                raise
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))

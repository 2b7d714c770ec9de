"""Where a step's mounts lie: places that the tree does not have are made beside it, not in it.

A mount wants a file or directory to lie on. What is missing is made in a directory `over` that overlayfs puts
between the step's own layer and those below (Snapshots.mounts), so that no layer ever holds /etc/resolv.conf
or the target of a cache. Directories on the way are made there with the facts that they have below, since the
uppermost of merged directories decides them. Where snapshots are copies, the places are made in the step's
tree and taken away again afterwards.
"""

from __future__ import annotations

import os
import stat

from onggi.images.archive import follow
from onggi.images.pack import read_xattrs
from onggi.images.tree import RESOLVE, descriptor_path
from onggi.kernel.files import openat2

Target = tuple[str, bool]  # a path in the container, and whether a directory belongs there
ENGINES: tuple[Target, ...] = (
    ("/dev", True), ("/proc", True), ("/sys", True),
    ("/etc/resolv.conf", False), ("/etc/hostname", False), ("/etc/hosts", False),
)  # fmt: skip


def missing(root_fd: int, targets: list[Target]) -> list[tuple[bytes, bool]]:
    """The places that a tree does not have, links in it resolved. Below another mount nothing is missing:
    that mount hides what is here.
    """
    found = []
    for path, is_dir in targets:
        if any(path.startswith(other.rstrip("/") + "/") for other, _ in targets if other != path):
            continue
        resolved = follow(root_fd, os.fsencode(path.strip("/")))
        if resolved and _facts(root_fd, resolved) is None:
            found.append((resolved, is_dir))
    return found


def make_over(root_fd: int, over: str, places: list[tuple[bytes, bool]]) -> None:
    """Make places in a directory that lies over the tree of `root_fd`. Raises OSError."""
    for path, is_dir in places:
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            _directory(root_fd, over, b"/".join(parts[:count]))
        _place(os.fsencode(over) + b"/" + path, is_dir)


def remove_made(root_fd: int, places: list[tuple[bytes, bool]]) -> None:
    """Take places away again that a mount has made in the tree itself, if nothing was put there."""
    for path, is_dir in reversed(places):
        directory, _, name = path.rpartition(b"/")
        try:
            parent_fd = openat2(root_fd, directory or b".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE)
        except OSError:
            continue  # the step itself has taken it away
        try:
            facts = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if is_dir and stat.S_ISDIR(facts.st_mode):
                os.rmdir(name, dir_fd=parent_fd)
            elif stat.S_ISREG(facts.st_mode) and not facts.st_size:
                os.unlink(name, dir_fd=parent_fd)
        except OSError:
            continue  # in use by the step: then it is content
        finally:
            os.close(parent_fd)


def _facts(root_fd: int, path: bytes) -> os.stat_result | None:
    try:
        fd = openat2(root_fd, path, os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _directory(root_fd: int, over: str, path: bytes) -> None:
    place = os.fsencode(over) + b"/" + path
    try:
        os.mkdir(place, 0o755)
    except FileExistsError:
        return
    try:
        fd = openat2(root_fd, path, os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE)
    except (FileNotFoundError, NotADirectoryError):
        os.chmod(place, 0o755)
        return
    try:
        facts = os.fstat(fd)
        os.chown(place, facts.st_uid, facts.st_gid)
        for key, value in read_xattrs(descriptor_path(fd), follow=True).items():
            os.setxattr(place, key, value)
        os.chmod(place, stat.S_IMODE(facts.st_mode))
        os.utime(place, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    finally:
        os.close(fd)


def _place(path: bytes, is_dir: bool) -> None:
    if is_dir:
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))

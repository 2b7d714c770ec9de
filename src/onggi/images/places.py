"""Where mounts lie: places that a tree does not have are made beside it, not in it.

A mount wants a file or directory to lie on. What is missing is made in a directory `over` that overlayfs puts
between a container's own layer and those below (Snapshots.mounts), so that no layer ever holds
/etc/resolv.conf or the target of a cache. Directories on the way are made there with the facts that they have
below, since the uppermost of merged directories decides them.
"""

from __future__ import annotations

import errno
import os
import stat

from onggi.errors import InvalidParameter
from onggi.images.archive import follow
from onggi.images.pack import read_xattrs
from onggi.images.tree import RESOLVE, descriptor_path
from onggi.kernel.files import openat2

Target = tuple[str, bool]  # a path in the container, and whether a directory belongs there
_OF_THE_IMAGE = (errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
ENGINES: tuple[Target, ...] = (
    ("/dev", True), ("/proc", True), ("/sys", True),
    ("/etc/resolv.conf", False), ("/etc/hostname", False), ("/etc/hosts", False),
)  # fmt: skip


def missing(root_fd: int, targets: list[Target]) -> list[tuple[bytes, bool]]:
    """The places that a tree does not have, links in it resolved. Below another mount nothing is missing:
    that mount hides what is here. What cannot be resolved is left for the mount to fail on, by its name.
    """
    found: dict[bytes, bool] = {}
    for path, is_dir in targets:
        if any(path.startswith(other.rstrip("/") + "/") for other, _ in targets if other != path):
            continue
        try:
            resolved = follow(root_fd, os.fsencode(path.strip("/")))
            if resolved and _facts(root_fd, resolved) is None:
                found.setdefault(resolved, is_dir)
        except (InvalidParameter, OSError) as error:
            _pass_over(error)
    return list(found.items())


def make_over(root_fd: int, over: str, places: list[tuple[bytes, bool]]) -> None:
    """Make places in a directory that lies over the tree of `root_fd`. What is below a file is left out.

    Raises OSError.
    """
    for path, is_dir in places:
        try:
            _parents(root_fd, over, path)
            _place(os.fsencode(over) + b"/" + path, is_dir)
        except OSError as error:
            _pass_over(error)
    _date(root_fd, over)


def link_over(root_fd: int, over: str, path: bytes, text: bytes) -> None:
    """Make a symbolic link where the tree has nothing of that name. Raises OSError."""
    directory, _, name = path.rpartition(b"/")
    try:
        resolved = b"/".join(filter(None, (follow(root_fd, directory), name)))
        if _facts(root_fd, resolved) is None:
            _parents(root_fd, over, resolved)
            os.symlink(text, os.fsencode(over) + b"/" + resolved)
    except (InvalidParameter, OSError) as error:
        _pass_over(error)
    _date(root_fd, over)


def _pass_over(error: Exception) -> None:
    """What an image's links and files make impossible is no fault of the machine's."""
    if isinstance(error, OSError) and error.errno not in _OF_THE_IMAGE:
        raise error


def _date(root_fd: int, over: str) -> None:
    """Directories on the way have the times that they have below, now that all is in them."""
    top = os.fsencode(over)
    for place, _, _ in os.walk(top, topdown=False):
        facts = _facts(root_fd, place[len(top) + 1 :] or b".")
        if facts is not None:
            os.utime(place, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _parents(root_fd: int, over: str, path: bytes) -> None:
    parts = path.split(b"/")
    for count in range(1, len(parts)):
        _directory(root_fd, over, b"/".join(parts[:count]))


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
    finally:
        os.close(fd)


def _place(path: bytes, is_dir: bool) -> None:
    if is_dir:
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))

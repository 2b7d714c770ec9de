"""Copy a directory's content into an empty one: what a new volume takes from its image.

By descriptors and without following a link, because the source is an image's and the target a container's.
Owners, modes, times and xattrs are kept; hard links within the tree stay links. Blocking.
"""

from __future__ import annotations

import errno
import os
import stat

_CHUNK = 1 << 20


def copy(source_fd: int, target: str) -> None:
    """Copy the content and the directory's own owner, mode and times. Raises OSError."""
    target_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _directory(source_fd, target_fd, {}, target_fd, "")
        _facts_of_fd(source_fd, target_fd)
    finally:
        os.close(target_fd)


def _directory(source: int, target: int, links: dict[tuple[int, int], str], top: int, prefix: str) -> None:
    for name in os.listdir(source):
        facts = os.stat(name, dir_fd=source, follow_symlinks=False)
        path = f"{prefix}{name}"
        key = (facts.st_dev, facts.st_ino)
        if facts.st_nlink > 1 and not stat.S_ISDIR(facts.st_mode):
            if key in links:
                os.link(links[key], name, src_dir_fd=top, dst_dir_fd=target, follow_symlinks=False)
                continue
            links[key] = path
        _one(source, target, name, facts, links, top, path)


def _one(
    source: int,
    target: int,
    name: str,
    facts: os.stat_result,
    links: dict[tuple[int, int], str],
    top: int,
    path: str,
) -> None:
    mode = facts.st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, facts.st_uid, facts.st_gid, dir_fd=target, follow_symlinks=False)
        os.utime(name, ns=(facts.st_atime_ns, facts.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    elif stat.S_ISDIR(mode):
        os.mkdir(name, 0o700, dir_fd=target)
        _opened(
            source, target, name, os.O_RDONLY | os.O_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY, links, top, path
        )
    elif stat.S_ISREG(mode):
        _opened(source, target, name, os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, links, top, path)
    else:
        os.mknod(name, mode, facts.st_rdev, dir_fd=target)
        os.chown(name, facts.st_uid, facts.st_gid, dir_fd=target, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(mode), dir_fd=target)


def _opened(
    source: int,
    target: int,
    name: str,
    source_flags: int,
    target_flags: int,
    links: dict[tuple[int, int], str],
    top: int,
    path: str,
) -> None:
    common = os.O_NOFOLLOW | os.O_CLOEXEC
    from_fd = os.open(name, source_flags | common, dir_fd=source)
    try:
        to_fd = os.open(name, target_flags | common, 0o600, dir_fd=target)
        try:
            if source_flags & os.O_DIRECTORY:
                _directory(from_fd, to_fd, links, top, f"{path}/")
            else:
                _content(from_fd, to_fd)
            _facts_of_fd(from_fd, to_fd)
        finally:
            os.close(to_fd)
    finally:
        os.close(from_fd)


def _content(source: int, target: int) -> None:
    while True:
        try:
            if not os.copy_file_range(source, target, _CHUNK):
                return
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP):
                raise
            break
    while data := os.read(source, _CHUNK):
        os.write(target, data)


def _facts_of_fd(source: int, target: int) -> None:
    """Owner first: chown(2) clears set-id bits; then xattrs, mode, times."""
    facts = os.fstat(source)
    os.fchown(target, facts.st_uid, facts.st_gid)
    for name in os.listxattr(source):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(facts.st_mode))
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))

"""Places inside a container's root: opened and made without ever leaving it.

Every lookup is openat2(RESOLVE_IN_ROOT) on the root's descriptor, so links resolve as the container would see
them and a rename by another container ends inside (CVE-2021-30465, CVE-2018-15664). What is returned is
an O_PATH
descriptor: who mounts on it does not resolve the name again.
"""

from __future__ import annotations

import errno
import os
import stat

from onggi.kernel import files, mounts
from onggi.kernel.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

_MAX_LINKS = 40
_MAY_LIE_IN_PROC = frozenset({
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
    "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
})  # fmt: skip


def find(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """Open an existing path. Raises OSError."""
    return openat2(root_fd, path, flags)


def place(root_fd: int, path: str, *, directory: bool) -> int:
    """Open a mount point, and make it (and what leads to it) where it is missing."""
    try:
        return openat2(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        pass
    if directory:
        return make_directory(root_fd, path)
    return _make_file(root_fd, path)


def refused_in_proc(root_fd: int, place_fd: int, tree_fd: int, target: str) -> str:
    """Why a mount must not lie on /proc or in it; empty where it may.

    What the kernel is told by way of /proc (labels, sysctls, masks) must reach the kernel (CVE-2019-16884,
    CVE-2019-19921). The place is asked, not its name: a link of the image leads there as well. As runc
    (libcontainer/rootfs_linux.go, checkProcMount): only a procfs upon /proc, below it only what lxcfs gives.
    """
    if target != "/proc" and files.filesystem_type(place_fd) != files.PROC_SUPER_MAGIC:
        return ""
    root = os.readlink(f"/proc/self/fd/{root_fd}").rstrip("/")
    path = os.readlink(f"/proc/self/fd/{place_fd}")
    below = path[len(root) :] if path.startswith(root + "/") else ""
    if below == "/proc" and files.filesystem_type(tree_fd) != files.PROC_SUPER_MAGIC:
        return f'"{target}" cannot be mounted because it is not of type proc'
    if below.startswith("/proc/") and below not in _MAY_LIE_IN_PROC:
        return f'"{target}" cannot be mounted because it is inside /proc'
    return ""


def refuse_link(root_fd: int, path: str) -> None:
    """A /proc or /sys that is a link is an image's trick: another container that shares its target could turn
    it round between the mount and the masks on it (CVE-2019-19921, CVE-2023-27561, CVE-2023-28642).
    """
    try:
        fd = openat2(root_fd, path, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    kind = os.fstat(fd).st_mode
    os.close(fd)
    if not stat.S_ISDIR(kind):
        raise OSError(errno.ENOTDIR, "must be mounted on an ordinary directory")


def make_directory(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Open a directory; its missing parts are made. A dangling link's target is made, inside the root."""
    parent, _, name = path.rstrip("/").rpartition("/")
    if name not in ("", ".", ".."):
        try:  # mostly the last part alone is missing
            parent_fd = openat2(root_fd, parent or "/", os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            parent_fd = -1
        if parent_fd >= 0:
            try:
                found = _open_or_make(root_fd, parent_fd, path, name, mode)
            finally:
                os.close(parent_fd)
            if found >= 0:
                return found
    return _walk(root_fd, [part for part in path.split("/") if part not in ("", ".")], mode, 0)


def _walk(root_fd: int, parts: list[str], mode: int, links: int) -> int:
    done = ""
    current = openat2(root_fd, "/", os.O_PATH | os.O_DIRECTORY)
    for index, part in enumerate(parts):
        path = f"{done}/{part}"
        try:
            following = _open_or_make(root_fd, current, path, part, mode)
        finally:
            os.close(current)
        if following < 0:
            if links >= _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = _link_target(root_fd, done, part)
            rest = [*target.split("/"), *parts[index + 1 :]]
            return _walk(root_fd, [p for p in rest if p not in ("", ".")], mode, links + 1)
        current, done = following, path
    return current


def _open_or_make(root_fd: int, parent_fd: int, path: str, name: str, mode: int) -> int:
    """The directory, or -1 where the name is a link to nowhere."""
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        return openat2(root_fd, path, flags)
    except FileNotFoundError:
        pass
    try:
        os.mkdir(name, mode, dir_fd=parent_fd)
    except FileExistsError:
        pass
    try:
        # through the parent, not the path: what was made is what is opened
        return openat2(parent_fd, name, flags, resolve=RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return -1
        raise


def _link_target(root_fd: int, parent: str, name: str) -> str:
    parent_fd = openat2(root_fd, parent or "/", os.O_PATH | os.O_DIRECTORY)
    try:
        target = os.readlink(name, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    return target if target.startswith("/") else f"{parent}/{target}"


def _make_file(root_fd: int, path: str) -> int:
    parent, _, name = path.rstrip("/").rpartition("/")
    parent_fd = make_directory(root_fd, parent)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(name, flags, 0o644, dir_fd=parent_fd))
        except FileExistsError:
            # a dangling link: the file is made where it points, inside the root
            target_fd = openat2(root_fd, path, os.O_WRONLY | os.O_CREAT, mode=0o644, resolve=RESOLVE_IN_ROOT)
            os.close(target_fd)
            return openat2(root_fd, path, os.O_PATH)
        return openat2(parent_fd, name, os.O_PATH, resolve=RESOLVE_NO_SYMLINKS)
    finally:
        os.close(parent_fd)


def parent_of(root_fd: int, path: str) -> tuple[int, str]:
    """(descriptor of the directory, made where missing, last name) of a path."""
    parent, _, name = path.rstrip("/").rpartition("/")
    return place(root_fd, parent or "/", directory=True), name


def clone_below(source: str, below: str, *, recursive: bool) -> int:
    """A detached copy of the mount at a host path, or of what is `below` it."""
    if not below:
        flags = mounts.OPEN_TREE_CLONE | (mounts.AT_RECURSIVE if recursive else 0)
        return mounts.open_tree(mounts.AT_FDCWD, source, flags)
    top_fd = os.open(source, os.O_PATH | os.O_CLOEXEC)
    try:
        return clone_of(top_fd, below, recursive=recursive)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{source}/{below}") from None
    finally:
        os.close(top_fd)


def clone_of(top_fd: int, below: str, *, recursive: bool) -> int:
    """A detached copy of what is `below` an open directory.

    Containers may write there: the path is resolved with the directory as the root, and what was found is
    what is copied, whoever renames meanwhile (CVE-2021-25741: a subpath that was exchanged for a link).
    """
    found_fd = openat2(top_fd, below, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    try:
        return mounts.clone_tree(found_fd, recursive=recursive)
    finally:
        os.close(found_fd)


def is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)

"""Steps of the child that make links, device nodes and the console below the root."""

from __future__ import annotations

import errno
import os
import stat

from onggi.kernel import files, mounts, terminals
from onggi.spawn import inside
from onggi.spawn.state import Child, send


def secret_file(_: Child | None, path: str, data: bytes, mode: int, uid: int, gid: int) -> None:
    """A new file in a tmpfs that was staged."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fchown(fd, uid, gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def link(child: Child, text: str, path: str) -> None:
    """A symbolic link; a name that is there stays."""
    parent_fd, name = inside.parent_of(child.root_fd, path)
    try:
        os.symlink(text, name, dir_fd=parent_fd)
    except FileExistsError:
        pass
    finally:
        os.close(parent_fd)


def node(child: Child, path: str, mode: int, device: int, uid: int, gid: int) -> None:
    """A device node (or fifo); where the kernel refuses to make one, the host's is bound in its place."""
    parent_fd, name = inside.parent_of(child.root_fd, path)
    try:
        try:
            os.mknod(name, mode, device, dir_fd=parent_fd)
        except FileExistsError:
            return
        except PermissionError:
            bind_node(child, path, path, mode, device)
            return
        os.chmod(name, stat.S_IMODE(mode), dir_fd=parent_fd)  # mknod obeys the umask
        if uid or gid:
            os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
    finally:
        os.close(parent_fd)


def bind_node(child: Child, source: str, path: str, mode: int, device: int) -> None:
    """The host's device at a place of the container; what is another device by now is refused."""
    tree_fd = mounts.open_tree(mounts.AT_FDCWD, source)
    facts = os.fstat(tree_fd)
    if facts.st_rdev != device or stat.S_IFMT(facts.st_mode) != stat.S_IFMT(mode):
        raise OSError(errno.ENODEV, f"is not the device {os.major(device)}:{os.minor(device)}", source)
    place_fd = inside.place(child.root_fd, path, directory=False)
    mounts.move_mount(tree_fd, place_fd)
    os.close(place_fd)
    os.close(tree_fd)


def console(child: Child, rows: int, columns: int, uid: int, bind: bool) -> None:
    """A pty of the container's own devpts: master to the parent, the other end as stdio, terminal and
    console.

    The other end comes from the master by ioctl and is mounted by descriptor: no path is followed that the
    container could have changed (CVE-2025-52565).
    """
    master_fd = _open_master(child.root_fd)
    terminals.unlock(master_fd)
    peer_fd = terminals.open_peer(master_fd)
    if rows or columns:
        terminals.set_window_size(master_fd, rows, columns)
    if uid:
        os.fchown(peer_fd, uid, -1)
    if bind:
        tree_fd = mounts.clone_tree(peer_fd)
        place_fd = inside.place(child.root_fd, "/dev/console", directory=False)
        mounts.move_mount(tree_fd, place_fd)
        os.close(place_fd)
        os.close(tree_fd)
    terminals.set_controlling(peer_fd)
    send(child.sock, ("console",), master_fd)
    for number in (0, 1, 2):
        os.dup2(peer_fd, number)
    os.close(peer_fd)
    os.close(master_fd)


def _open_master(root_fd: int) -> int:
    for path in ("dev/pts/ptmx", "dev/ptmx"):
        try:
            fd = files.openat2(root_fd, path, os.O_RDWR | os.O_NOCTTY)
        except FileNotFoundError:
            continue
        if os.fstat(fd).st_rdev != os.makedev(5, 2):
            raise OSError(errno.ENODEV, "is not a terminal multiplexer", "/" + path)
        return fd
    raise OSError(errno.ENOENT, "a terminal was asked for, and the container has no devpts", "/dev/pts/ptmx")

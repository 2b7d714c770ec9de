"""A container's root as one descriptor, for `cp`, `export`, copy-up and looking names up; for nobody else
to see.

    open_root(mounts, binds)      of a container that does not run: its snapshot and volumes, mounted
    open_running(pid)             of one that runs: /proc/PID/root, with everything that is mounted there
    open_running_alone(pid)       the same without what is mounted below the root (for `export`)

The mounts are made in a mount namespace of a thread that ends at once (unshare(CLONE_NEWNS) is per thread,
unshare(2)); what stays is a detached copy of the tree (open_tree(2), OPEN_TREE_CLONE | AT_RECURSIVE) that
vanishes with its descriptor. So nothing is mounted in the host's tree, nothing leaks when the engine
dies, and volumes are real mounts in it: the kernel resolves names through them, not a comparison of
prefixes. mount(2) is used for overlay since fsconfig(2) takes values of 255 bytes and "lowerdir+" came
with Linux 6.5; only options longer than a page go that way. What a program serves (spawn/fuse.py) is made
before that.

Whoever opens a name below such a descriptor does so with openat2(RESOLVE_IN_ROOT) (CVE-2018-15664,
CVE-2019-14271). Not here: what is mounted (snapshots/), the archives (archive.py).
"""

from __future__ import annotations

import os
import stat
import threading

from onggi.images.accounts import Account, resolve_groups, resolve_user
from onggi.images.tree import RESOLVE, Tree, clean
from onggi.kernel import mounts as kernel
from onggi.kernel import namespaces
from onggi.kernel.files import openat2
from onggi.spawn import mounting as spawn
from onggi.spawn.plan import made_by_program, parted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from onggi.images.snapshots.protocol import Mount

    Bind = tuple[Mount, Sequence[str]]

DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
PAGE = 4096
CLONE_FS = 0x200  # clone(2): setns(2) into a mount namespace wants a working directory of one's own
# Any directory that is there on every host: it is covered in the thread's namespace only.
COVERED = "/dev"


def open_root(mounts: Sequence[Mount], binds: Sequence[Bind] = ()) -> int:
    """A descriptor (O_PATH) of a root made of a snapshot's mounts; the caller closes it.

    `binds` are mounts with the paths below each that go on showing what was there before, made in order on
    top; a missing mount point is made where the snapshot is writable. Raises OSError.
    """
    served: list[int] = []
    try:
        for each in (*(each for each, _ in binds), *mounts):
            if made_by_program(each):
                served.append(spawn.detached(parted(each)[0]))
        return _in_own_mounts(lambda: _assemble(mounts, binds, iter(served)), unshare=namespaces.CLONE_NEWNS)
    finally:
        for tree_fd in served:
            os.close(tree_fd)


def open_running(pid: int) -> int:
    """The root of a running process as it sees it; the caller closes it. Raises OSError (it has ended)."""
    return os.open(f"/proc/{pid}/root", DIRECTORY)


def open_running_alone(pid: int) -> int:
    """A detached copy of the mount that is the root of a running process, with nothing mounted on it."""
    namespace = namespaces.open_namespace(pid, namespaces.CLONE_NEWNS)
    try:
        return _in_own_mounts(lambda: _clone_root_of(namespace), unshare=CLONE_FS)
    finally:
        os.close(namespace)


def _clone_root_of(namespace: int) -> int:
    namespaces.setns(namespace, namespaces.CLONE_NEWNS)
    return kernel.open_tree(kernel.AT_FDCWD, "/", kernel.OPEN_TREE_CLONE)


def _in_own_mounts(work: Callable[[], int], *, unshare: int) -> int:
    """Run `work` in a thread that leaves this process's mount namespace and never comes back."""
    result: list[int] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            namespaces.unshare(unshare)
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="view")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _assemble(mounts: Sequence[Mount], binds: Sequence[Bind], served: Iterator[int]) -> int:
    """`served` are those that a program serves: of the binds, then of the root."""
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    trees = [_detached(mount, served) for mount, _ in binds]  # before anything is covered
    try:
        for mount in mounts:
            if made_by_program(mount):
                attach(os.dup(next(served)), COVERED)
            else:
                _cover(mount)
        root_fd = os.open(COVERED, DIRECTORY)
        try:
            for tree_fd, (mount, kept) in zip(trees, binds, strict=True):
                _bind(root_fd, tree_fd, mount[1], kept)
            return kernel.clone_tree(root_fd, recursive=True)
        finally:
            os.close(root_fd)
    finally:
        for tree_fd in trees:
            os.close(tree_fd)


def _detached(each: Mount, served: Iterator[int]) -> int:
    if not made_by_program(each):
        return spawn.detached(each)
    tree_fd, below = os.dup(next(served)), parted(each)[1]
    return spawn.only(tree_fd, below) if below else tree_fd


def _cover(mount: Mount) -> None:
    """One mount of a snapshot, on COVERED."""
    source, _, fstype, flags, data = mount[:5]
    if fstype == "bind":
        kernel.mount(source, COVERED, None, flags | kernel.MS_BIND)
        if flags & kernel.MS_RDONLY:
            kernel.mount(None, COVERED, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)
    elif len(os.fsencode(data)) < PAGE:
        kernel.mount(source, COVERED, fstype, flags, data)
    else:
        attributes = kernel.MOUNT_ATTR_RDONLY if flags & kernel.MS_RDONLY else 0
        attach(kernel.make_filesystem(fstype, source, _options(data), attributes), COVERED)


def attach(tree_fd: int, path: str) -> None:
    """Put a detached mount on a directory, and close it. Raises OSError."""
    try:
        target_fd = os.open(path, DIRECTORY)
        try:
            kernel.move_mount(tree_fd, target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(tree_fd)


def _options(data: str) -> list[tuple[str, str | None]]:
    """Overlay's options one by one, each lower directory by itself."""
    options: list[tuple[str, str | None]] = []
    for item in data.split(","):
        key, equals, value = item.partition("=")
        if key == "lowerdir":
            options += [("lowerdir+", lower) for lower in value.split(":")]
        else:
            options.append((key, value if equals else None))
    return options


def _bind(root_fd: int, tree_fd: int, target: str, kept: Sequence[str]) -> None:
    shown = []
    try:
        for path in kept:
            shown.append((path, _clone(root_fd, os.fsencode(path))))
        _attach(root_fd, tree_fd, target)
        for path, fd in shown:
            _attach(root_fd, fd, path)
    finally:
        for _, fd in shown:
            os.close(fd)


def _clone(root_fd: int, path: bytes) -> int:
    """What a directory shows now, made where it is missing."""
    with Tree(root_fd) as tree:
        return kernel.clone_tree(tree.parent(clean(path)), recursive=True)


def _attach(root_fd: int, tree_fd: int, target: str) -> None:
    target_fd = _mount_point(root_fd, tree_fd, os.fsencode(target))
    try:
        kernel.move_mount(tree_fd, target_fd)
    finally:
        os.close(target_fd)


def _mount_point(root_fd: int, source_fd: int, target: bytes) -> int:
    try:
        return openat2(root_fd, target, os.O_PATH, resolve=RESOLVE)
    except FileNotFoundError:
        path = clean(target)
    with Tree(root_fd) as tree:
        if stat.S_ISDIR(os.fstat(source_fd).st_mode):
            return os.dup(tree.parent(path))
        directory, _, name = path.rpartition(b"/")
        parent_fd = tree.parent(directory)
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent_fd))
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)


__all__ = [
    "Account",
    "open_root",
    "open_running",
    "open_running_alone",
    "resolve_groups",
    "resolve_user",
]

"""Trees that the parent makes for a container in a user namespace: overlays, and layers with mapped owners.

A process in a user namespace cannot mount overlayfs with trusted.* attributes, and cannot read our
directories, so the parent makes the detached tree with its own rights. Where the mount has id maps its layers
are idmapped (mount_setattr(2), MOUNT_ATTR_IDMAP; overlayfs takes such layers since Linux 5.19): on disk stay
the ids that the container sees, in the kernel they are those of its range, and nothing is copied or changed.
The upper layer is mapped too, so what the container writes has its own ids on disk.

The mapped copies lie over the directories that hold the layers, in the mount namespace of a helper process
that ends at once: the overlay's paths are the same, and nobody else sees them.
"""

from __future__ import annotations

import errno
import os

from onggi.kernel import capabilities, mounts, namespaces, processes
from onggi.spawn import inside, nodes, overlay
from onggi.spawn.mounting import attributes, detached, only
from onggi.spawn.plan import made_by_program, parted
from onggi.spawn.state import channel, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from onggi.spawn.plan import Mount, Step

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def tree(each: Mount, userns_fd: int) -> int:
    """A detached tree of one mount; `userns_fd` maps its layers, -1 leaves owners as they are.

    Only for a single-threaded process. Raises OSError, which names a file system that cannot be mapped.
    """
    if made_by_program(each) and userns_fd < 0:
        return _by_program(each)
    return _helped(lambda: {"": _made(each, userns_fd, set())})[""]


def _by_program(each: Mount) -> int:
    """Started here: in the helper's mount namespace the program would keep what the helper sees."""
    whole, below = parted(each)
    tree_fd = detached(whole)
    return _helped(lambda: {"": only(tree_fd, below)})[""] if below else tree_fd


def staged(
    steps: tuple[Step, ...],
    wanted: tuple[tuple[str, str, bool, str], ...],
    maps: tuple[str, str],
    userns_fd: int,
) -> dict[str, int]:
    """The steps "stage" and "secret-file" for a container with id maps: trees by slot.

    `wanted` are (slot, source, recursive, below) of what is mounted out of the places. Raises OSError.
    """

    def work() -> dict[str, int]:
        covered: set[str] = set()
        for step in steps:
            if step[0] == "stage":
                _stage(step[1], step[2], maps, userns_fd, covered)
            else:
                _, path, data, mode, uid, gid = step
                nodes.secret_file(None, path, data, mode, _outside(maps[0], uid), _outside(maps[1], gid))
        return {
            slot: inside.clone_below(source, below, recursive=recursive)
            for slot, source, recursive, below in wanted
        }

    return _helped(work)


def _stage(path: str, each: Mount, maps: tuple[str, str], userns_fd: int, covered: set[str]) -> None:
    if each[2] in ("overlay", "bind"):
        tree_fd = _made((*each[:6], maps, each[7]), userns_fd, covered)
    else:
        tree_fd = detached(each)
    place_fd = os.open(path, _DIRECTORY | os.O_NOFOLLOW)
    mounts.move_mount(tree_fd, place_fd)
    os.close(tree_fd)
    os.close(place_fd)


def _outside(id_map: str, number: int) -> int:
    for line in id_map.splitlines():
        inside_, host, size = map(int, line.split())
        if inside_ <= number < inside_ + size:
            return host + number - inside_
    raise OSError(errno.EINVAL, f"id {number} has no mapping in the container's user namespace", "secret")


def _helped(work: Callable[[], dict[str, int]]) -> dict[str, int]:
    """Descriptors that `work` makes in a process with a mount namespace of its own."""
    ours, theirs = channel()
    found: dict[str, int] = {}
    try:
        pid, pidfd = namespaces.clone(namespaces.CLONE_NEWNS)
        if pid == 0:
            _help(theirs, work)
        theirs.close()
        try:
            message, fds = receive(ours)
            while message is not None and message[0] == "tree":
                found[message[1]] = fds[0]
                message, fds = receive(ours)
        finally:
            processes.wait_pidfd(pidfd)
            os.close(pidfd)
    finally:
        ours.close()
    if message is not None and message[0] == "end":
        return found
    for fd in found.values():
        os.close(fd)
    if message is None:
        raise OSError(errno.ESRCH, "the process that makes the tree has ended", "layers")
    raise OSError(*message[1:])


def _help(sock: _socket.socket, work: Callable[[], dict[str, int]]) -> None:
    """In the helper; does not return."""
    try:
        mounts.mount(None, "/", None, mounts.MS_PRIVATE | mounts.MS_REC)
        for slot, fd in work().items():
            send(sock, ("tree", slot), fd)
        send(sock, ("end",))
    except OSError as error:
        send(sock, ("failed", error.errno, error.strerror, str(error.filename or "layers")))
    finally:
        os._exit(0)


def _made(each: Mount, userns_fd: int, covered: set[str]) -> int:
    if made_by_program(each):  # in this namespace mount and program would keep each other
        raise OSError(errno.EINVAL, "fuse-overlayfs maps no owners", "overlay")
    if userns_fd < 0:
        return detached(each)
    source, _, fstype, flags, data, *_ = each
    if fstype == "bind":
        tree_fd = _mapped(source, userns_fd)
        if attributes(flags):
            mounts.mount_setattr(tree_fd, set_=attributes(flags))
        return tree_fd
    for directory in set(_directories(data)) - covered:
        covered.add(directory)
        tree_fd = _mapped(directory, userns_fd)
        place_fd = os.open(directory, _DIRECTORY)
        mounts.move_mount(tree_fd, place_fd)
        os.close(place_fd)
        os.close(tree_fd)
    try:
        assert each[6] is not None
        _become(_first(each[6][0]), _first(each[6][1]))
        return detached(each)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        why = "layers cannot be idmapped by this kernel or on this file system (overlayfs needs Linux 5.19)"
        raise OSError(errno.EINVAL, why, "overlay") from None


def _become(uid: int, gid: int) -> None:  # a second time changes nothing
    """Whoever mounts an overlay is who makes its work files (ovl_override_creds in the kernel).

    He must have an id in the mapped upper layer, or all is read-only: the container's root, with our rights.
    """
    processes.keep_capabilities(keep=True)
    processes.setresgid(gid)
    processes.setresuid(uid)
    _, permitted, inheritable = capabilities.get()
    capabilities.set_(permitted, permitted, inheritable)


def _first(id_map: str) -> int:
    return int(id_map.split(maxsplit=2)[1])


def _directories(data: str) -> list[str]:
    """What holds the layers: snapshots/ of snapshots/ID/fs, each once."""
    layers, options = overlay.parse(data)
    paths = layers + [value for key, value in options if key in ("upperdir", "workdir") and value]
    return sorted({os.path.dirname(os.path.dirname(path)) for path in paths})


def _mapped(path: str, userns_fd: int) -> int:
    fd = os.open(path, _DIRECTORY)
    try:
        tree_fd = mounts.clone_tree(fd)
    finally:
        os.close(fd)
    try:
        mounts.mount_setattr(tree_fd, set_=mounts.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    except OSError as error:
        os.close(tree_fd)
        if error.errno == errno.EINVAL:
            raise OSError(errno.EINVAL, "the file system cannot be idmapped by this kernel", path) from None
        raise
    return tree_fd

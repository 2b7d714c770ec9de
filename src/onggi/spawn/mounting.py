"""Steps of the child that mount, all by descriptor: made detached, attributes set, then moved on an open
place.

Nothing is visible before it has its final attributes: a mount that should be read-only never was writable.
Not here: which mounts (runtime/compile), nodes and links (nodes.py), places inside the root (inside.py).
"""

from __future__ import annotations

import errno
import os

from onggi.kernel import files, mounts
from onggi.kernel.mounts import AT_FDCWD, MS_REC, MS_SLAVE, make_filesystem, mount_setattr, move_mount
from onggi.kernel.namespaces import CLONE_NEWNS, setns
from onggi.spawn import copyup, inside, overlay
from onggi.spawn.plan import EXTRA_CLEAR, EXTRA_RECURSIVE_CLEAR, EXTRA_TMPCOPYUP, SUBDIR, StepFailed
from onggi.spawn.state import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.spawn.plan import Mount

COVERED = "/usr"  # a directory that everybody can walk to, and that no later step needs of the host
_ATTRIBUTE_BITS = 0xFFFFFF

# MS_* that are attributes of a mount, and MS_* that are options of a file system
_ATTRIBUTES = (
    (mounts.MS_RDONLY, mounts.MOUNT_ATTR_RDONLY),
    (mounts.MS_NOSUID, mounts.MOUNT_ATTR_NOSUID),
    (mounts.MS_NODEV, mounts.MOUNT_ATTR_NODEV),
    (mounts.MS_NOEXEC, mounts.MOUNT_ATTR_NOEXEC),
    (mounts.MS_NODIRATIME, mounts.MOUNT_ATTR_NODIRATIME),
    (mounts.MS_NOSYMFOLLOW, mounts.MOUNT_ATTR_NOSYMFOLLOW),
    (mounts.MS_NOATIME, mounts.MOUNT_ATTR_NOATIME),
    (mounts.MS_STRICTATIME, mounts.MOUNT_ATTR_STRICTATIME),
)
_OPTIONS = (
    (mounts.MS_SYNCHRONOUS, "sync"),
    (mounts.MS_DIRSYNC, "dirsync"),
    (mounts.MS_MANDLOCK, "mand"),
    (mounts.MS_LAZYTIME, "lazytime"),
)
_ATIME_FLAGS = mounts.MS_NOATIME | mounts.MS_STRICTATIME | mounts.MS_RELATIME


def attributes(flags: int) -> int:
    """MS_* as MOUNT_ATTR_*."""
    found = 0
    for flag, attribute in _ATTRIBUTES:
        if flags & flag:
            found |= attribute
    return found


def split_options(data: str) -> list[tuple[str, str | None]]:
    """`a=b,c` as pairs; a backslash keeps the next character."""
    found: list[tuple[str, str | None]] = []
    if "\\" in data:
        words, word, escaped = [], "", False
        for char in data:
            if escaped or char != ",":
                word += char
                escaped = not escaped and char == "\\"
            else:
                words.append(word)
                word = ""
        words.append(word)
    else:
        words = data.split(",")
    for item in words:
        if item:
            key, equals, value = item.partition("=")
            found.append((key, value if equals else None))
    return found


def root(child: Child, path: str, root_mounts: tuple[Mount, ...], propagation: int) -> None:
    """The container's root at `path` of our mount namespace; nothing of it reaches the host's.

    pivot_root(2) refuses a shared parent. With a propagation other than private or slave the binds of the
    container must stay peers of the host's mounts, so only the mount that holds the root is made private.
    """
    mounts.mount(None, "/", None, propagation or (MS_SLAVE | MS_REC))
    if propagation & (mounts.MS_SHARED | mounts.MS_UNBINDABLE):
        _make_parent_private(path)
    host_root(child, path, root_mounts)
    if propagation & (mounts.MS_SHARED | mounts.MS_UNBINDABLE):
        mount_setattr(child.root_fd, propagation=mounts.MS_PRIVATE)


def root_slot(child: Child, slot: str, propagation: int) -> None:
    """As `root`, with a tree that the parent made. It lies upon COVERED until the pivot.

    The mapped root of a user namespace cannot walk to the engine's own directories (0710, CVE-2021-41091).
    """
    mounts.mount(None, "/", None, propagation or (MS_SLAVE | MS_REC))
    shared = propagation & (mounts.MS_SHARED | mounts.MS_UNBINDABLE)
    if shared:
        _make_parent_private(COVERED)
    child.root_fd = child.slots[slot]
    place_fd = os.open(COVERED, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    move_mount(child.root_fd, place_fd)
    os.close(place_fd)
    if shared:
        mount_setattr(child.root_fd, propagation=mounts.MS_PRIVATE)


def host_root(child: Child, path: str, root_mounts: tuple[Mount, ...]) -> None:
    """The root without a mount namespace: one mount at `path` that holds all others, and goes with them."""
    place_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not root_mounts:
        tree_fd = mounts.clone_tree(place_fd, recursive=True)
        move_mount(tree_fd, place_fd)
        child.root_fd = tree_fd
    for each in root_mounts:
        tree_fd = detached(each)
        move_mount(tree_fd, place_fd)
        place_fd = child.root_fd = tree_fd


def _make_parent_private(path: str) -> None:
    """mount_setattr takes a mount's root only (EINVAL): go up until one is met."""
    while True:
        try:
            mount_setattr(AT_FDCWD, path, propagation=mounts.MS_PRIVATE)
            return
        except OSError as error:
            if error.errno != errno.EINVAL or path == "/":
                raise
        path = path.rstrip("/").rpartition("/")[0] or "/"


def stage(_: Child, path: str, each: Mount) -> None:
    """A mount on a directory of the host's tree, which we alone see: a source of later binds."""
    _put(detached(each), path)


def stage_slot(child: Child, path: str, slot: str) -> None:
    """As `stage`, with the detached tree that the parent made."""
    _put(child.slots[slot], path)


def _put(tree_fd: int, path: str) -> None:
    place_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    move_mount(tree_fd, place_fd)
    os.close(tree_fd)
    os.close(place_fd)


def mount(child: Child, *fields: object) -> None:
    """One mount of the container, in the place that its target is."""
    each: Mount = fields  # type: ignore[assignment]
    if each[2] == "tmpfs" and "mode=" not in each[4]:
        each = _with_mode_of_place(child.root_fd, each)
    _place(child, each, detached(each))


def _with_mode_of_place(root_fd: int, each: Mount) -> Mount:
    """A tmpfs is as open as the directory that it covers, as runc has it: /root stays shut."""
    source, target, fstype, flags, data, *more = each
    try:
        place_fd = inside.find(root_fd, target, os.O_PATH | os.O_DIRECTORY)
    except OSError:  # it is made when it is mounted on, and told of then
        return each
    mode = f"mode={os.fstat(place_fd).st_mode & 0o7777:o}"
    os.close(place_fd)
    return (source, target, fstype, flags, f"{mode},{data}" if data else mode, *more)  # type: ignore[return-value]


def keep(child: Child, slot: str, path: str) -> None:
    """Hold on to what a directory of the root shows now; "mount-slot" shows it again above a mount."""
    place_fd = inside.place(child.root_fd, path, directory=True)
    child.slots[slot] = mounts.clone_tree(place_fd, recursive=True)
    os.close(place_fd)


def mount_slot(child: Child, slot: str, each: Mount) -> None:
    """As `mount`, with the detached tree that the parent made with its own rights."""
    tree_fd = child.slots[slot]
    _set_attributes(tree_fd, each)
    _place(child, each, tree_fd)


def detached(each: Mount) -> int:
    """A mount that no path leads to yet, with its attributes; the caller places it. Raises OSError."""
    source, _, fstype, flags, data, _, _, _ = each
    data, _, below = data.partition(SUBDIR)
    if fstype == "bind":
        tree_fd = inside.clone_below(source, below, recursive=bool(flags & MS_REC))
        _set_attributes(tree_fd, each)
        return tree_fd
    if fstype == "overlay":
        tree_fd = overlay.detached(source, data.rstrip(","), attributes(flags))
        return only(tree_fd, below) if below else tree_fd
    options = split_options(data)
    for flag, word in _OPTIONS:
        if flags & flag:
            options.append((word, None))
    return make_filesystem(fstype, source, options, attributes(flags))


def only(tree_fd: int, below: str) -> int:
    """A directory of a detached mount by itself. Takes `tree_fd`.

    Before Linux 6.15 a mount that is nowhere cannot be copied (EINVAL), so for a moment it lies upon "/" of
    this mount namespace, which nobody's root or working directory notices.
    """
    slash_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        move_mount(tree_fd, slash_fd)
        try:
            return inside.clone_of(tree_fd, below, recursive=False)
        finally:
            mounts.umount2(f"/proc/self/fd/{tree_fd}", mounts.MNT_DETACH)
    finally:
        os.close(slash_fd)
        os.close(tree_fd)


def _set_attributes(tree_fd: int, each: Mount) -> None:
    """Attributes of a bind: those set, those cleared, then those of the whole subtree."""
    _, _, _, flags, _, _, _, extra = each
    wanted = attributes(flags)
    clear = extra >> EXTRA_CLEAR & _ATTRIBUTE_BITS
    if flags & _ATIME_FLAGS:
        clear |= mounts.MOUNT_ATTR__ATIME
    if wanted or clear:
        mount_setattr(tree_fd, set_=wanted, clear=clear)
    if extra:
        recursive_set = extra & _ATTRIBUTE_BITS
        recursive_clear = extra >> EXTRA_RECURSIVE_CLEAR & _ATTRIBUTE_BITS
        if recursive_set & mounts.MOUNT_ATTR__ATIME:
            recursive_clear |= mounts.MOUNT_ATTR__ATIME
        if recursive_set or recursive_clear:
            mount_setattr(tree_fd, set_=recursive_set, clear=recursive_clear, recursive=True)


def _place(child: Child, each: Mount, tree_fd: int) -> None:
    _, target, fstype, flags, _, propagation, _, extra = each
    directory = fstype not in ("bind", "overlay") or inside.is_directory(tree_fd)
    try:
        if fstype in ("proc", "sysfs"):
            inside.refuse_link(child.root_fd, target)
        place_fd = inside.place(child.root_fd, target, directory=directory)
        if extra & EXTRA_TMPCOPYUP:
            copyup.copy(place_fd, tree_fd)
            if flags & mounts.MS_RDONLY:
                mount_setattr(tree_fd, set_=mounts.MOUNT_ATTR_RDONLY)
        if fstype != "proc":
            why = inside.refused_in_proc(child.root_fd, place_fd, tree_fd, target)
            if why:
                raise StepFailed("mount", f'"{each[0]}" to rootfs at "{target}"', 0, why)
        _move(tree_fd, place_fd)
        os.close(place_fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from None
    for kind in (mounts.MS_SHARED, mounts.MS_SLAVE, mounts.MS_PRIVATE, mounts.MS_UNBINDABLE):
        # a slave that is also to be shared needs two calls, in this order of words: mount(2) takes one
        # at a time
        if propagation & kind:
            mount_setattr(tree_fd, propagation=kind, recursive=bool(propagation & MS_REC))
    os.close(tree_fd)


def _move(tree_fd: int, place_fd: int) -> None:
    """The kernel says EINVAL also for a directory upon a file, which people do every day."""
    try:
        move_mount(tree_fd, place_fd)
    except OSError as error:
        if error.errno == errno.EINVAL and inside.is_directory(tree_fd) != inside.is_directory(place_fd):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        raise


def mount_readonly(child: Child, path: str) -> None:
    """A mount that had to be filled first becomes read-only."""
    place_fd = inside.find(child.root_fd, path)
    mount_setattr(place_fd, set_=mounts.MOUNT_ATTR_RDONLY)
    os.close(place_fd)


def readonly(child: Child, paths: tuple[str, ...]) -> None:
    """Each existing path becomes a mount of itself, read-only."""
    for path in paths:
        try:
            place_fd = inside.find(child.root_fd, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        tree_fd = mounts.clone_tree(place_fd, recursive=True)
        mount_setattr(tree_fd, set_=mounts.MOUNT_ATTR_RDONLY, recursive=True)
        move_mount(tree_fd, place_fd)
        os.close(tree_fd)
        os.close(place_fd)


def mask(child: Child, paths: tuple[str, ...]) -> None:
    """Hide each existing path: a file under the host's /dev/null, a directory under an empty tmpfs.

    The null device is the host's, checked: the container's could be a link to anything (CVE-2025-31133).
    One tmpfs serves all directories; a clone of an attached mount costs no superblock.
    """
    null_fd = empty_fd = -1
    for path in paths:
        try:
            place_fd = inside.find(child.root_fd, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not inside.is_directory(place_fd):
            if null_fd < 0:
                null_fd = _null()
            tree_fd = mounts.clone_tree(null_fd)
        elif empty_fd < 0:
            read_only = mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV
            options: list[tuple[str, str | None]] = [("size", "0"), ("nr_inodes", "1"), ("mode", "755")]
            tree_fd = make_filesystem("tmpfs", "tmpfs", options, read_only | mounts.MOUNT_ATTR_NOEXEC)
        else:
            tree_fd = mounts.clone_tree(empty_fd)
        move_mount(tree_fd, place_fd)
        os.close(place_fd)
        if empty_fd < 0 and inside.is_directory(tree_fd):
            empty_fd = tree_fd
        else:
            os.close(tree_fd)


def _null() -> int:
    fd = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    if os.fstat(fd).st_rdev != os.makedev(1, 3):
        raise OSError(errno.ENODEV, "is not the null device", "/dev/null")
    return fd


def pivot(child: Child, no_pivot: bool) -> None:
    """The root becomes "/"; the host's tree and every descriptor into it are gone (CVE-2024-21626)."""
    if no_pivot:
        _move_root(child.root_fd)
    else:
        _leave_chroot()
        old_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchdir(child.root_fd)
        mounts.pivot_root(".", ".")
        os.fchdir(old_fd)
        # the old tree may have peers on the host, which must not see it go
        mounts.mount(None, ".", None, MS_SLAVE | MS_REC)
        mounts.umount2(".", mounts.MNT_DETACH)
        os.chdir("/")
    files.close_all_but({child.sock.fileno(), child.fifo_fd, *child.keep})
    child.root_fd = child.proc_fd = -1


def chroot(child: Child) -> None:
    """For a container without a mount namespace: the host's tree stays the namespace's root, as with runc."""
    os.fchdir(child.root_fd)
    os.chroot(".")
    os.chdir("/")
    files.close_all_but({child.sock.fileno(), child.fifo_fd, *child.keep})
    child.root_fd = child.proc_fd = -1


def _leave_chroot() -> None:
    """Make "/" the root of the mount namespace, also where the engine itself was started in a chroot.

    Otherwise pivot_root would exchange the chroot's mount alone: the host's tree stayed the namespace's root,
    and whoever joins the namespace (an exec, or the container itself by setns(2)) would stand in it.
    """
    own_fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(own_fd, CLONE_NEWNS)  # sets root and working directory to the namespace's root
    finally:
        os.close(own_fd)


def _move_root(root_fd: int) -> None:
    """MS_MOVE and chroot, for a root that cannot be pivoted (an initial ramfs).

    The old tree stays below; its proc and sysfs mounts would let the container make full ones of its own
    (mount_too_revealing in the kernel), so they go first, or are covered where they are locked.
    """
    root_path = os.readlink(f"/proc/self/fd/{root_fd}")
    for place, fstype in _mounted():
        below = place == root_path or place.startswith(root_path.rstrip("/") + "/")
        if fstype in ("proc", "sysfs") and not below:
            mounts.mount(None, place, None, mounts.MS_SLAVE | MS_REC)
            try:
                mounts.umount2(place, mounts.MNT_DETACH)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EPERM):
                    raise
                mounts.mount("tmpfs", place, "tmpfs", 0, None)
    os.fchdir(root_fd)
    mounts.mount(".", "/", None, mounts.MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def _mounted() -> list[tuple[str, str]]:
    """(place, type) of every mount, the last one first; octal escapes of proc_pid_mountinfo(5) undone."""
    with open("/proc/self/mountinfo", "rb") as file:
        lines = file.read().splitlines()
    found = []
    for line in reversed(lines):
        fields = line.split(b" ")
        place = fields[4]
        for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
            place = place.replace(code, char)
        found.append((os.fsdecode(place), fields[fields.index(b"-") + 1].decode()))
    return found


def root_readonly(_: Child) -> None:
    mount_setattr(AT_FDCWD, "/", set_=mounts.MOUNT_ATTR_RDONLY)


def root_propagation(_: Child, flags: int) -> None:
    mounts.mount(None, "/", None, flags)

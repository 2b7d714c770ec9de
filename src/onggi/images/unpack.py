"""Make the members of an archive in a tree, with Docker's rules for what replaces what.

    existing       member         becomes
    nothing        any            made
    directory      directory      merged: owner, mode, times and attributes of the member
    anything else  any            removed first, then made
The order inside one member is fixed: content, owner, attributes, mode, times. A change of owner takes away
the set-id bits and security.capability (chown(2)); times of directories come last of all, since each member
changes its parent's.

Source: OCI image specification, layer.md; the behaviour of Docker's pkg/archive.
Not here: resolving names (tree.py), reading (tar/).
"""

from __future__ import annotations

import enum
import errno
import os
import stat

import msgspec

from onggi.errors import NoSpace, OnggiError, System, TooLarge
from onggi.images import whiteouts
from onggi.images.marks import Devices
from onggi.images.owners import Owners, kept
from onggi.images.tar.entry import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    KIND_NAMES,
    REGULAR,
    SYMLINK,
    BadArchive,
    Entry,
    shown,
)
from onggi.images.tree import OPEN_DIR, Tree, clean, descriptor_path, lookup, remove
from onggi.kernel import ids
from onggi.kernel.files import RESOLVE_NO_XDEV, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.images.tar.reader import Reader

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NAMED = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_ID = (1 << 32) - 2  # the last one means "do not change" to chown(2)
MAX_TIME_NS = (1 << 40) * 1_000_000_000
SPACE_CHECK_BYTES = 64 << 20
NO_XATTR_HERE = (errno.ENOTSUP, errno.EPERM)

# What the archive is to blame for; all other failures are the machine's.
ARCHIVE_FAULTS = {
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EEXIST,
    errno.ENOENT,
    errno.EINVAL,
    errno.EISDIR,
    errno.EFBIG,
    errno.EMLINK,
    errno.EXDEV,
    errno.E2BIG,
    errno.ERANGE,
}


class Limits(msgspec.Struct, frozen=True):
    """What one archive may take. None is no limit. `free_bytes` must stay free on the disk."""

    content_bytes: int | None = 1 << 40
    entries: int | None = 20_000_000
    free_bytes: int = 32 << 20


DEFAULT_LIMITS = Limits()


class Policy(enum.Enum):
    """What whiteouts become."""

    OVERLAY = "overlay"  # overlayfs's own marks
    DELETE = "delete"  # what they name is removed
    KEEP = "keep"  # plain files


class Unpacker:
    """Unpacks one archive. Owns the descriptors it opens, not `root_fd`."""

    def __init__(
        self,
        root_fd: int,
        *,
        policy: Policy,
        into: bytes = b"",
        own_root: bool = False,
        marks: Callable[[Tree], Devices] = Devices,
        owner: tuple[int, int] | None = None,
        owners: Owners | None = None,
        no_overwrite_dir_non_dir: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._tree = Tree(root_fd)
        self._root_fd = root_fd
        self._own_root = own_root
        self._into = clean(into)
        self._policy = policy
        self._marks = marks(self._tree)
        self._owner = owner
        self._owners = owners
        self._all_ids = ids.initial()
        self._keep_kind = no_overwrite_dir_non_dir
        self._limits = limits
        self._next_check = SPACE_CHECK_BYTES
        self._times: dict[bytes, int] = {}  # directories, to be dated at the end
        self._made: set[bytes] = set()  # what this layer itself brought (Policy.DELETE)
        self.size = 0
        self.entries = 0
        self.skipped: list[str] = []

    def __enter__(self) -> Unpacker:
        return self

    def __exit__(self, *_: object) -> None:
        self._tree.forget()

    def run(self, reader: Reader) -> None:
        """Unpack every member, then date the directories."""
        max_entries = self._limits.entries
        while (entry := reader.next()) is not None:
            self.entries += 1
            if max_entries is not None and self.entries > max_entries:
                raise TooLarge(f"the archive has more than {max_entries} members, at {shown(entry.name)!r}")
            try:
                self._member(entry, reader)
            except OSError as failure:
                raise blame(entry, failure) from failure
        for path in self._marks.late():
            try:
                self._marks.make_late(path)
            except OSError as failure:
                raise blame(Entry(path), failure) from failure
        self._date_directories()

    def _member(self, entry: Entry, reader: Reader) -> None:
        path = clean(entry.name)
        if self._into:
            path = self._into + b"/" + path if path else self._into
        directory, _, name = path.rpartition(b"/")
        kind = entry.kind
        if not name:
            self._root(entry)
            return
        if path.startswith(whiteouts.META) and b"/" in path and self._policy is not Policy.KEEP:
            return  # in a directory of aufs's own (.wh..wh.plnk/...)
        parent_fd = self._parent(directory)
        if name.startswith(whiteouts.PREFIX) and self._policy is not Policy.KEEP:
            self._whiteout(parent_fd, directory, name)
            return
        if kind == REGULAR:
            self._file(parent_fd, path, name, entry, reader)
        elif kind == DIRECTORY:
            self._directory(parent_fd, path, name, entry)
        elif kind == SYMLINK:
            self._make(
                parent_fd, path, name, kind, lambda: os.symlink(entry.linkname, name, dir_fd=parent_fd)
            )
            self._owned_name(parent_fd, name, entry)
        elif kind == HARD_LINK:
            self._hard_link(parent_fd, directory, path, name, entry)
        else:
            self._node(parent_fd, path, name, entry)
        if self._policy is Policy.DELETE:
            self._made.add(path)

    def _parent(self, directory: bytes) -> int:
        try:
            return self._tree.parent(directory)
        except NotADirectoryError:
            if self._policy is not Policy.OVERLAY:
                raise
        # A member below something that this layer's own whiteout took away: the directory is new, so opaque.
        parts = directory.split(b"/")
        for count in range(1, len(parts) + 1):
            above = self._tree.parent(b"/".join(parts[: count - 1]))
            status = lookup(above, parts[count - 1])
            if status is not None and whiteouts.is_whiteout(status):
                os.unlink(parts[count - 1], dir_fd=above)
                self._marks.opaque(self._tree.parent(b"/".join(parts[:count])))
        return self._tree.parent(directory)

    # --- kinds

    def _root(self, entry: Entry) -> None:
        if entry.kind != DIRECTORY:
            raise BadArchive(f"{shown(entry.name)!r}: the root cannot be a {KIND_NAMES[entry.kind]}")
        if self._policy is Policy.KEEP and not self._own_root:
            return  # an archive's "./" does not change the directory that it is unpacked into
        fd = os.open(".", OPEN_DIR, dir_fd=self._root_fd)
        try:
            self._owned_fd(fd, entry)
        finally:
            os.close(fd)
        self._times[b""] = entry.mtime_ns

    def _file(self, parent_fd: int, path: bytes, name: bytes, entry: Entry, reader: Reader) -> None:
        self._account(entry)
        try:
            fd = os.open(name, CREATE, 0o600, dir_fd=parent_fd)
        except FileExistsError:
            self._clear_way(parent_fd, path, name, REGULAR)
            fd = os.open(name, CREATE, 0o600, dir_fd=parent_fd)
        try:
            if entry.sparse is not None:
                write_sparse(fd, entry, reader)
            elif entry.stored:
                write_plain(fd, entry.stored, reader)
            self._owned_fd(fd, entry)
            mtime = entry.mtime_ns
            if not -MAX_TIME_NS < mtime < MAX_TIME_NS:
                mtime = 0
            os.utime(fd, ns=(mtime, mtime))
        finally:
            os.close(fd)

    def _directory(self, parent_fd: int, path: bytes, name: bytes, entry: Entry) -> None:
        opaque = False
        try:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        except FileExistsError:
            status = lookup(parent_fd, name)
            if status is None or not stat.S_ISDIR(status.st_mode):
                opaque = status is not None and whiteouts.is_whiteout(status)
                self._clear_way(parent_fd, path, name, DIRECTORY)
                os.mkdir(name, 0o700, dir_fd=parent_fd)
            elif self._into and path == self._into:
                return  # an archive's "./" does not change the directory that it is unpacked into
        fd = os.open(name, OPEN_DIR, dir_fd=parent_fd)
        try:
            self._owned_fd(fd, entry)
            if opaque and self._policy is Policy.OVERLAY:
                self._marks.opaque(fd)
        except BaseException:
            os.close(fd)
            raise
        self._tree.keep(path, fd)
        self._times[path] = entry.mtime_ns

    def _hard_link(self, parent_fd: int, directory: bytes, path: bytes, name: bytes, entry: Entry) -> None:
        target = clean(entry.linkname)
        if self._into:
            target = self._into + b"/" + target
        source_dir, _, source = target.rpartition(b"/")
        if not source:
            raise BadArchive(f"{shown(entry.name)!r} is a hard link to the root directory")
        if target == path:
            raise BadArchive(f"{shown(entry.name)!r} is a hard link to itself")
        source_fd = self._parent(source_dir)
        parent_fd = self._parent(directory)  # again: the look-up above may have closed the oldest parent

        def link() -> None:
            os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)

        self._make(parent_fd, path, name, HARD_LINK, link, keeps=(source_fd, source))

    def _node(self, parent_fd: int, path: bytes, name: bytes, entry: Entry) -> None:
        kinds = {FIFO: stat.S_IFIFO, CHAR: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}
        device = 0
        if entry.kind != FIFO:
            if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
                raise BadArchive(f"{shown(entry.name)!r} is device {entry.major}:{entry.minor}: out of range")
            device = os.makedev(entry.major, entry.minor)
        mode = kinds[entry.kind] | 0o600
        try:
            self._make(
                parent_fd, path, name, entry.kind, lambda: os.mknod(name, mode, device, dir_fd=parent_fd)
            )
        except PermissionError:
            if entry.kind == FIFO or ids.initial():
                raise
            self._skip(f"{shown(entry.name)}: devices cannot be made in a user namespace")
            return
        self._owned_name(parent_fd, name, entry)

    def _make(
        self,
        parent_fd: int,
        path: bytes,
        name: bytes,
        kind: int,
        make: Maker,
        keeps: tuple[int, bytes] | None = None,
    ) -> None:
        """Call `make`; where something has the name, remove it and call it again.

        `keeps` is a hard link's target: nothing is removed where it does not exist.
        """
        try:
            make()
        except FileExistsError:
            if keeps is not None and lookup(*keeps) is None:
                raise FileNotFoundError(errno.ENOENT, "the link's target does not exist") from None
            self._clear_way(parent_fd, path, name, kind)
            make()

    # --- replacing

    def _clear_way(self, parent_fd: int, path: bytes, name: bytes, kind: int) -> None:
        """Remove what stands where a member of another kind is to be made."""
        status = lookup(parent_fd, name)
        if status is None:
            return
        is_dir = stat.S_ISDIR(status.st_mode)
        if self._keep_kind and is_dir != (kind == DIRECTORY):
            old, new = ("directory", "non-directory") if is_dir else ("non-directory", "directory")
            where, into = shown(b"/" + path), shown(b"/" + self._into)
            raise BadArchive(f'cannot overwrite {old} "{where}" with {new} "{into}"')
        self._remove(parent_fd, path, name, status)

    def _remove(self, parent_fd: int, path: bytes, name: bytes, status: os.stat_result) -> None:
        if self._policy is Policy.KEEP:
            _refuse_mounted(parent_fd, name, path)
        if stat.S_ISDIR(status.st_mode):
            remove(parent_fd, name)
            below = path + b"/"
            for known in [known for known in self._times if known == path or known.startswith(below)]:
                del self._times[known]
            self._marks.forget(below)
            self._forget(parent_fd)
        else:
            os.unlink(name, dir_fd=parent_fd)
            if stat.S_ISLNK(status.st_mode):
                self._forget(parent_fd)

    def _forget(self, parent_fd: int) -> None:
        self._tree.forget_all_but(parent_fd)

    # --- whiteouts

    def _whiteout(self, parent_fd: int, directory: bytes, name: bytes) -> None:
        if name == whiteouts.OPAQUE:
            if self._policy is Policy.OVERLAY:
                self._marks.opaque(parent_fd)
            else:
                self._delete_below(parent_fd, directory)
            return
        if name.startswith(whiteouts.META):
            return
        target = whiteouts.hidden(name)
        path = directory + b"/" + target if directory else target
        status = lookup(parent_fd, target)
        if self._policy is Policy.OVERLAY:
            self._marks.whiteout(parent_fd, path, target, status)
        elif status is None:
            return
        elif path not in self._made:
            self._remove(parent_fd, path, target, status)
        elif stat.S_ISDIR(status.st_mode):
            self._delete_below(self._tree.parent(path), path)

    def _delete_below(self, dir_fd: int, directory: bytes) -> None:
        """Remove all in a directory that this layer did not bring."""
        fd = os.open(".", OPEN_DIR, dir_fd=dir_fd)
        pending = [(fd, directory)]
        try:
            while pending:
                fd, directory = pending.pop()
                try:
                    pending += self._delete_in(fd, directory)
                finally:
                    os.close(fd)
        finally:
            for fd, _ in pending:
                os.close(fd)
        self._tree.forget()

    def _delete_in(self, fd: int, directory: bytes) -> list[tuple[int, bytes]]:
        """Remove what is foreign in one directory; the own directories in it, open, to be gone through."""
        below = []
        for text in os.listdir(fd):
            name = os.fsencode(text)
            path = directory + b"/" + name if directory else name
            status = lookup(fd, name)
            if status is None:
                continue
            if path not in self._made:
                remove(fd, name)
                self._times.pop(path, None)
            elif stat.S_ISDIR(status.st_mode):
                below.append((os.open(name, OPEN_DIR, dir_fd=fd), path))
        return below

    # --- owner, attributes, mode, times

    def _owner_of(self, entry: Entry) -> tuple[int, int]:
        """On the host. Raises BadArchive for an id that the container has not."""
        found = self._owner or owner_of(entry)
        if self._owners is None:
            return found if self._all_ids else self._here(found, entry)
        try:
            return self._owners.outside(*found)
        except ValueError as error:
            raise BadArchive(f"{shown(entry.name)!r}: {error}") from None

    def _here(self, found: tuple[int, int], entry: Entry) -> tuple[int, int]:
        """In a user namespace. With a single id all is root's, as podman's ignore_chown_errors has it."""
        if ids.single():
            return 0, 0
        if not (ids.has(ids.UIDS, found[0]) and ids.has(ids.GIDS, found[1])):
            last = f"{ids.last(ids.UIDS)}:{ids.last(ids.GIDS)}"
            raise BadArchive(
                f"{shown(entry.name)!r} has the owner {found[0]}:{found[1]}, and the last ids that "
                f"/etc/subuid and /etc/subgid give are {last}"
            )
        return found

    def _owned_fd(self, fd: int, entry: Entry) -> None:
        """Owner, attributes and mode of an open file or directory."""
        uid, gid = self._owner_of(entry)
        os.fchown(fd, uid, gid)
        if entry.xattrs:
            self._set_xattrs(fd, entry, follow=True)
        os.fchmod(fd, entry.mode)

    def _owned_name(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        """Owner, attributes, mode and times of a link, a device or a fifo: never opened, never followed."""
        fd = os.open(name, NAMED, dir_fd=parent_fd)
        try:
            uid, gid = self._owner_of(entry)
            os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
            if entry.xattrs:
                self._set_xattrs(descriptor_path(parent_fd, name), entry, follow=False)
            if entry.kind != SYMLINK:
                os.chmod(descriptor_path(fd), entry.mode)
            mtime = entry.mtime_ns if -MAX_TIME_NS < entry.mtime_ns < MAX_TIME_NS else 0
            os.utime(name, ns=(mtime, mtime), dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(fd)

    def _set_xattrs(self, where: int | bytes, entry: Entry, *, follow: bool) -> None:
        for key, value in entry.xattrs.items():
            if key.startswith(whiteouts.OVERLAY_XATTRS):
                continue  # overlayfs's own marks are made from whiteouts, never taken from an image
            try:
                if self._owners is not None:
                    value = kept(key, value, self._owners)
                if follow:
                    os.setxattr(where, key, value)
                else:
                    os.setxattr(where, key, value, follow_symlinks=False)
            except OSError as failure:
                if failure.errno not in NO_XATTR_HERE:
                    raise
                self._skip(f"{shown(entry.name)}: {shown(key)}: {failure.strerror}")
            except ValueError as failure:
                self._skip(f"{shown(entry.name)}: {shown(key)}: {failure}")

    def _date_directories(self) -> None:
        for path, mtime in self._times.items():
            mtime = mtime if -MAX_TIME_NS < mtime < MAX_TIME_NS else 0
            directory, _, name = path.rpartition(b"/")
            dir_fd = self._tree.parent(directory)
            if not name:
                os.utime(descriptor_path(self._root_fd), ns=(mtime, mtime))
                continue
            try:
                os.utime(name, ns=(mtime, mtime), dir_fd=dir_fd, follow_symlinks=False)
            except FileNotFoundError:
                continue  # a running container was faster

    # --- limits

    def _account(self, entry: Entry) -> None:
        self.size += entry.stored
        limit = self._limits.content_bytes
        if limit is not None and self.size > limit:
            raise TooLarge(f"the archive has more than {limit} bytes of content, at {shown(entry.name)!r}")
        if self.size >= self._next_check:
            self._next_check = self.size + SPACE_CHECK_BYTES
            room = os.fstatvfs(self._root_fd)
            if room.f_bavail * room.f_frsize < entry.stored + self._limits.free_bytes:
                raise NoSpace(f"{shown(entry.name)}: no space left on device")

    def _skip(self, what: str) -> None:
        if len(self.skipped) < 16:
            self.skipped.append(what)


def write_plain(fd: int, left: int, reader: Reader) -> None:
    while left:
        piece = reader.piece()
        left -= len(piece)
        written = os.write(fd, piece)
        while written < len(piece):
            written += os.write(fd, piece[written:])


def write_sparse(fd: int, entry: Entry, reader: Reader) -> None:
    """Write the pieces at their places; the rest stays a hole."""
    os.ftruncate(fd, entry.size)
    piece = memoryview(b"")
    for offset, length in entry.sparse or ():
        end = offset + length
        while offset < end:
            piece = piece or reader.piece()
            written = os.pwrite(fd, piece[: end - offset], offset)
            piece = piece[written:]
            offset += written


def owner_of(entry: Entry) -> tuple[int, int]:
    uid, gid = entry.uid, entry.gid
    if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
        raise BadArchive(f"{shown(entry.name)!r} has the owner {uid}:{gid}: out of range")
    return uid, gid


def _refuse_mounted(parent_fd: int, name: bytes, path: bytes) -> None:
    """Raises System where something is mounted on a name.

    A container's mounts are in a namespace that is not ours: there the kernel lets us unlink what they lie
    on, and takes them away with it (mount_namespaces(7), "Restrictions on mount namespaces").
    """
    try:
        os.close(openat2(parent_fd, name, os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE_NO_XDEV))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise System(f"unlinkat {shown(b'/' + path)}: device or resource busy") from None


def blame(entry: Entry, failure: OSError) -> OnggiError:
    """The kind of error for a system call that failed while a member was made."""
    text = f"{shown(entry.name)}: {os.strerror(failure.errno).lower() if failure.errno else failure}"
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(text)
    if failure.errno in ARCHIVE_FAULTS:
        kind = KIND_NAMES.get(entry.kind, "member")
        arrow = f" -> {shown(entry.linkname)!r}" if entry.linkname else ""
        return BadArchive(
            f"{kind} {shown(entry.name)!r}{arrow} at offset {entry.offset}: {os.strerror(failure.errno)}"
        )
    return System(text)


if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[[], None]

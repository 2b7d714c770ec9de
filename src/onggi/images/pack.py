"""Make a tar of a directory tree: a layer of what a container changed, or an export of all it sees.

    pack(fd, stream)                       everything below the directory; with links, holes, attributes
    pack(fd, stream, overlay=lowers)       an overlay upper directory: its marks become whiteouts
    pack_changes(fd, changes, stream)      what images/changes.py found between two trees (native snapshots)

The order is by name, times are whole seconds and nothing of this machine is in the archive, so equal
trees have equal bytes and equal digests. Directories come before what is in them, `.wh..wh..opq` before
its neighbours. The tree may change meanwhile (a running container's): links are never followed, a file
that shrank is filled up with zeroes, and one that is gone is left out. Names of users are not written:
they would be the host's.
"""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from onggi.errors import System
from onggi.images import whiteouts
from onggi.images.changes import Change, Kind, Merged
from onggi.images.owners import Owners, seen
from onggi.images.tar.entry import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    NO_XATTRS,
    REGULAR,
    SYMLINK,
    Entry,
    shown,
)
from onggi.images.tar.writer import Writer
from onggi.images.tree import OPEN_DIR, RESOLVE, descriptor_path, lookup
from onggi.kernel.files import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Sink(Protocol):
        def write(self, data: bytes, /) -> object: ...


KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFCHR: CHAR,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
}
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
READ_BYTES = 1 << 20
HOLES_BYTES = 1 << 20  # fewer are written as zeroes: a plain member is understood everywhere
NANO = 1_000_000_000
KEPT_XATTRS = (b"user.", b"security.capability", b"system.posix_acl_")


class Packed(msgspec.Struct, frozen=True):
    """Content bytes and members that were written; bytes on disk of what was read, each inode once."""

    size: int
    entries: int
    disk_bytes: int = 0


def pack(
    root_fd: int,
    stream: Sink,
    *,
    overlay: list[str] | None = None,
    under: bytes | None = None,
    latest_ns: int | None = None,
    at_ns: int | None = None,
    owners: Owners | None = None,
) -> Packed:
    """Write everything below a directory, and the trailer. Raises OSError, System.

    `overlay` are the trees on which an upper directory stands.
    With `under` the directory itself is written too, called so, and all that is in it below that name.
    No time in the archive is later than `latest_ns` (SOURCE_DATE_EPOCH); every one is `at_ns` where that is
    given.
    """
    packer = Packer(stream, prefix=under or b"", latest_ns=latest_ns, at_ns=at_ns, owners=owners)
    top = os.open(".", OPEN_DIR, dir_fd=root_fd)
    try:
        if under is not None:
            packer.add_root(top)
        if overlay is None:
            packer.walk(top)
        else:
            with Merged(overlay) as below:
                packer.walk(top, overlay=below)
    except BaseException:
        os.close(top)
        raise
    return packer.finish()


def pack_changes(
    root_fd: int, changes: list[Change], stream: Sink, *, latest_ns: int | None = None
) -> Packed:
    """Write a layer of what differs: members for what was added or changed, whiteouts for what was
    deleted, before them the directories on their way, so that unpacking the layer gives these their times.
    """
    packer = Packer(stream, latest_ns=latest_ns)
    written = {b""}
    for change in changes:
        path = change.path.lstrip(b"/")
        directory, _, name = path.rpartition(b"/")
        for way in _unwritten(directory, written):
            _add(packer, root_fd, way)
        if change.kind is Kind.DELETED:
            packer.whiteout(directory, name)
        else:
            _add(packer, root_fd, path)
            written.add(path)
    return packer.finish()


def _unwritten(directory: bytes, written: set[bytes]) -> list[bytes]:
    """A directory and those on its way that are not written yet, outermost first; now they count as it."""
    found = []
    while directory not in written:
        written.add(directory)
        found.append(directory)
        directory = directory.rpartition(b"/")[0]
    return found[::-1]


def _add(packer: Packer, root_fd: int, path: bytes) -> None:
    directory, _, name = path.rpartition(b"/")
    fd = openat2(root_fd, directory or b".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE)
    try:
        status = lookup(fd, name)
        if status is not None:
            packer.add(fd, name, path, status)
    finally:
        os.close(fd)


def pack_one(dir_fd: int, name: bytes, stream: Sink, *, under: bytes, owners: Owners | None = None) -> Packed:
    """Write one member that is not a directory, called `under`."""
    packer = Packer(stream, owners=owners)
    status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    packer.add(dir_fd, name, under, status)
    return packer.finish()


class Packer:
    """Writes members of trees into one archive; knows which inodes it has written already."""

    def __init__(
        self,
        stream: Sink,
        prefix: bytes = b"",
        latest_ns: int | None = None,
        at_ns: int | None = None,
        owners: Owners | None = None,
    ) -> None:
        self._owners = owners
        self._writer = Writer(stream)
        self._links: dict[tuple[int, int], bytes] = {}
        self._hidden: bytes | None = None  # the last directory that hides all that is below it
        self._prefix = prefix if prefix.endswith(b"/") or not prefix else prefix + b"/"
        self._latest_ns = latest_ns
        self._at_ns = at_ns
        self.size = 0
        self.entries = 0
        self.disk_bytes = 0

    def finish(self) -> Packed:
        self._writer.close()
        return Packed(self.size, self.entries, self.disk_bytes)

    def _describe(self, path: bytes, status: os.stat_result) -> Entry:
        entry = describe(path, status)
        if self._latest_ns is not None:
            entry.mtime_ns = min(entry.mtime_ns, self._latest_ns)
        if self._at_ns is not None:
            entry.mtime_ns = self._at_ns
        if self._owners is not None:
            entry.uid, entry.gid = self._owners.inside(entry.uid, entry.gid)
        return entry

    def _xattrs(self, where: int | bytes, *, follow: bool) -> dict[bytes, bytes]:
        found = read_xattrs(where, follow=follow)
        return seen(found, self._owners) if self._owners is not None and found else found

    def add_root(self, fd: int) -> None:
        entry = self._describe(self._prefix or b"./", os.fstat(fd))
        entry.xattrs = self._xattrs(descriptor_path(fd), follow=True)
        self._writer.add(entry)
        self.entries += 1

    def below(self, prefix: bytes, *, at_ns: int | None) -> None:
        """What is added from here on is another tree, below `prefix`."""
        self._prefix = prefix + b"/" if prefix else b""
        self._at_ns = at_ns
        self._links.clear()

    def add_data(self, path: bytes, data: bytes, *, mode: int) -> None:
        """A regular file that is in no tree."""
        entry = Entry(self._prefix + path, mode=mode, size=len(data), mtime_ns=self._at_ns or 0)
        self._writer.add(entry, data)
        self.entries += 1
        self.size += len(data)

    def walk(
        self, top: int, *, overlay: Merged | None = None, without: frozenset[bytes] = frozenset()
    ) -> None:
        """Everything below `top`, which is closed, but what is called `without` in it. One descriptor for
        each level is open at a time.
        """
        stack = [(top, b"", [name for name in _names(top) if name not in without])]
        try:
            if overlay is not None:
                self._opaque(top, b"", overlay)
            while stack:
                fd, directory, names = stack[-1]
                if not names:
                    os.close(stack.pop()[0])
                    continue
                name = names.pop()
                below = self._visit(fd, directory, name, overlay=overlay)
                if below is not None:
                    stack.append((below, directory + name + b"/", _names(below)))
        except BaseException:
            for fd, _, _ in stack[1:]:
                os.close(fd)
            raise

    def _visit(self, fd: int, directory: bytes, name: bytes, *, overlay: Merged | None) -> int | None:
        """Write one member; an open descriptor where it is a directory to be gone into."""
        if overlay is not None and name.startswith(whiteouts.PREFIX):
            gone = whiteouts.taken_away(name)
            if gone:
                self.whiteout(directory.rstrip(b"/"), gone)
            return None
        status = lookup(fd, name)
        if status is None:
            return None
        if overlay is not None and whiteouts.is_whiteout(status):
            self.whiteout(directory.rstrip(b"/"), name)
            return None
        self.add(fd, name, directory + name, status)
        if not stat.S_ISDIR(status.st_mode):
            return None
        try:
            below = os.open(name, OPEN_DIR, dir_fd=fd)
        except OSError as failure:
            if failure.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        if overlay is not None:
            try:
                self._opaque(below, directory + name, overlay)
            except BaseException:
                os.close(below)
                raise
        return below

    def add(self, dir_fd: int, name: bytes, path: bytes, status: os.stat_result) -> None:
        """One member under `path`. Sockets cannot be in a tar and are left out, as everywhere."""
        path = self._prefix + path
        if stat.S_IFMT(status.st_mode) not in KINDS:
            return
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            identity = (status.st_dev, status.st_ino)
            first = self._links.setdefault(identity, path)
            if first != path:
                entry = self._describe(path, status)
                entry.kind, entry.linkname, entry.size, entry.stored = HARD_LINK, first, 0, 0
                self._emit(entry)
                return
        self.disk_bytes += status.st_blocks * 512
        if stat.S_ISREG(status.st_mode):
            self._file(dir_fd, name, path)
            return
        entry = self._describe(path, status)
        try:
            if entry.kind == SYMLINK:
                entry.linkname = os.readlink(name, dir_fd=dir_fd)
            entry.xattrs = self._xattrs(descriptor_path(dir_fd, name), follow=False)
        except OSError as failure:
            if failure.errno in (errno.ENOENT, errno.EINVAL):
                return  # a running container was faster
            raise
        self._emit(entry)

    def whiteout(self, directory: bytes, name: bytes) -> None:
        path = b"/".join(filter(None, (directory, whiteouts.PREFIX + name)))
        self._emit(Entry(self._prefix + path, mode=0))

    def _opaque(self, fd: int, directory: bytes, below: Merged) -> None:
        """fuse-overlayfs marks every directory that it makes. Where nothing is hidden such a mark would hide
        what is below another image on which the layer is put.
        """
        for name in (b"trusted.overlay.redirect", b"trusted.overlay.metacopy"):
            if name in _list_xattrs(descriptor_path(fd), follow=True):
                raise System(f"{shown(directory)}: the overlay was mounted with redirect_dir or metacopy")
        if not whiteouts.is_opaque(fd):
            return
        hidden = self._hidden is not None and directory.startswith(self._hidden + b"/")
        if directory and whiteouts.made_by_program(fd) and (hidden or not below.shows(directory)):
            return
        if not hidden:
            self._hidden = directory
        self._emit(Entry(b"/".join(filter(None, (directory, whiteouts.OPAQUE))), mode=0))

    def _emit(self, entry: Entry) -> None:
        self._writer.add(entry)
        self.entries += 1

    def _file(self, dir_fd: int, name: bytes, path: bytes) -> None:
        try:
            fd = os.open(name, READ, dir_fd=dir_fd)
        except OSError as failure:
            if failure.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return
            raise
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return
            entry = self._describe(path, status)
            entry.xattrs = self._xattrs(fd, follow=True)
            pieces = data_pieces(fd, status)
            if pieces is not None:
                entry.sparse = pieces
                entry.stored = sum(length for _, length in pieces)
            self._writer.begin(entry)
            for offset, length in [(0, entry.stored)] if pieces is None else pieces:
                self._content(fd, offset, length)
            self._writer.end()
            self.entries += 1
            self.size += entry.stored
        finally:
            os.close(fd)

    def _content(self, fd: int, offset: int, length: int) -> None:
        while length:
            data = os.pread(fd, min(length, READ_BYTES), offset)
            if not data:
                data = bytes(min(length, READ_BYTES))  # it shrank
            self._writer.put(data)
            offset += len(data)
            length -= len(data)


def _names(fd: int) -> list[bytes]:
    """The names in a directory, last one first, to be popped; a whiteout has the place of what it hides."""
    names = map(os.fsencode, os.listdir(fd))
    return sorted(names, key=lambda name: name.removeprefix(whiteouts.PREFIX), reverse=True)


def describe(path: bytes, status: os.stat_result) -> Entry:
    """A member with the facts of stat; times in whole seconds, as Docker writes them."""
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    device = status.st_rdev if kind in (CHAR, BLOCK_DEVICE) else 0
    return Entry(
        path,
        kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == REGULAR else 0,
        mtime_ns=status.st_mtime_ns // NANO * NANO,
        major=os.major(device),
        minor=os.minor(device),
    )


def _list_xattrs(where: int | bytes, *, follow: bool) -> list[bytes]:
    try:
        names = os.listxattr(where) if follow else os.listxattr(where, follow_symlinks=False)
    except OSError as failure:
        if failure.errno == errno.ENOTSUP:
            return []
        raise
    return [os.fsencode(name) for name in names]


def read_xattrs(where: int | bytes, *, follow: bool) -> dict[bytes, bytes]:
    """The attributes that belong to a file rather than to the machine (no labels, no overlay marks)."""
    names = _list_xattrs(where, follow=follow)
    found = {}
    for name in sorted(names):
        if name.startswith(KEPT_XATTRS) and not name.startswith(whiteouts.OVERLAY_XATTRS):
            try:
                found[name] = (
                    os.getxattr(where, name) if follow else os.getxattr(where, name, follow_symlinks=False)
                )
            except OSError as failure:
                if failure.errno != errno.ENODATA:
                    raise
    return found or NO_XATTRS


def data_pieces(fd: int, status: os.stat_result) -> list[tuple[int, int]] | None:
    """Where a file has data, if it has holes worth the name; None for a plain file. lseek(2), SEEK_DATA."""
    size = status.st_size
    if size - status.st_blocks * 512 < HOLES_BYTES:
        return None
    pieces: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as failure:
            if failure.errno == errno.ENXIO:
                break
            return None
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if at > start:
            pieces.append((start, at - start))
    stored = sum(length for _, length in pieces)
    return pieces if size - stored >= HOLES_BYTES and len(pieces) <= 10_000 else None

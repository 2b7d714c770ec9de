"""COPY and ADD of local files: what select.py finds is made below a directory of another tree.

The rules of what replaces what are BuildKit's (tonistiigi/fsutil, "copy"):

    source       target                becomes
    file         a directory           a file in it
    file         a file, a link, none  that name, replaced
    directory    none                  that directory, with the source's mode, owner and times
    directory    a directory           its contents (contents_only), else a directory in it
    directory    anything else         an error; replaced with `replace`

A directory that is there keeps its own facts where it is the target, and takes the source's where it is
below it.
Both trees are descriptors; every name is resolved inside its tree (openat2, RESOLVE_IN_ROOT), so that no
link in an image or a context leads out. Files of several names stay such.
"""

from __future__ import annotations

import errno
import os
import stat

from onggi.builder.executors import select
from onggi.builder.executors.modes import Mode
from onggi.builder.executors.select import Filters, Found, Source
from onggi.builder.graph import CopyAction
from onggi.errors import InvalidParameter, NoSpace, NotFound
from onggi.images.archive import follow
from onggi.images.content import copy_content
from onggi.images.pack import READ, read_xattrs
from onggi.images.tree import OPEN_DIR, RESOLVE, descriptor_path, lookup, remove
from onggi.kernel.files import openat2

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY = os.O_PATH | os.O_DIRECTORY


class Copier:
    """Carries out one action between two trees. Owns nothing but what it has open while it works."""

    def __init__(
        self,
        from_fd: int,
        to_fd: int,
        action: CopyAction,
        owner: tuple[int, int] | None,
        *,
        cancelled: Cancelled | None = None,
    ) -> None:
        self._from_fd = from_fd
        self._to_fd = to_fd
        self._action = action
        self._owner = owner
        self._mode = Mode(action.mode) if action.mode else None
        self._filters = Filters(action)
        self._links: dict[tuple[int, int], bytes] = {}
        self._dated: list[tuple[bytes, os.stat_result]] = []
        self._cancelled = cancelled

    def run(self) -> int:
        """Copy; how many things were. Raises SourceMissing, NotFound, InvalidParameter, NoSpace, OSError."""
        count = 0
        try:
            for path in self._action.required:
                self._require(path)
            for source in select.sources(self._from_fd, self._action):
                count += self._copy(source)
            self._date()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"{self._action.target}: no space left on device") from error
            raise
        return count

    def _require(self, path: str) -> None:
        try:
            os.close(openat2(self._from_fd, select.cleaned(path) or b".", os.O_PATH, resolve=RESOLVE))
        except FileNotFoundError:
            raise select.SourceMissing(path) from None

    def _copy(self, source: Source) -> int:
        target = self._target(source)
        count = 0
        for found in select.walk(self._from_fd, source, self._filters):
            if self._cancelled is not None and self._cancelled():
                raise InterruptedError(errno.EINTR, "the build was cancelled")
            self._make(found, target, top=not found.path)
            count += 1
        return count

    # -- where it goes

    def _target(self, source: Source) -> bytes:
        """The path in the target's tree that the source itself becomes; its parents exist afterwards."""
        text = self._action.target
        path = select.cleaned(text)
        into_directory = text.endswith(("/", "/.")) or not path
        resolved = follow(self._to_fd, path) if path else b""
        facts = self._facts(resolved)
        is_dir = facts is not None and stat.S_ISDIR(facts.st_mode)
        if into_directory and facts is not None and not is_dir and not self._action.replace:
            raise InvalidParameter(f"cannot copy to non-directory: /{os.fsdecode(path)}")
        inside = (not source.is_dir and (is_dir or into_directory)) or (
            source.is_dir and not self._action.contents_only and (is_dir or into_directory)
        )
        if inside:
            resolved = b"/".join(filter(None, (resolved, source.name)))
        parent = resolved.rpartition(b"/")[0]
        if not self._action.make_parents and parent and self._facts(parent) is None:
            raise NotFound(f"failed to stat {text}: no such file or directory")
        os.close(make_directory(self._to_fd, parent, self._owner, self._action.timestamp))
        return resolved

    def _facts(self, path: bytes) -> os.stat_result | None:
        try:
            fd = openat2(self._to_fd, path or b".", os.O_PATH, resolve=RESOLVE)
        except FileNotFoundError:
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    # -- making

    def _make(self, found: Found, target: bytes, *, top: bool) -> None:
        path = b"/".join(filter(None, (target, found.path)))
        directory, _, name = path.rpartition(b"/")
        kind = stat.S_IFMT(found.facts.st_mode)
        if kind == stat.S_IFSOCK:
            return  # a socket is nothing without the process behind it: no archive and no layer holds one
        if not name:
            return  # the root of the tree: a directory, and there
        parent_fd = openat2(self._to_fd, directory or b".", DIRECTORY, resolve=RESOLVE)
        try:
            if kind == stat.S_IFDIR:
                self._directory(found, parent_fd, name, path, top=top)
                return
            self._clear(parent_fd, name, path)
            identity = (found.facts.st_dev, found.facts.st_ino)
            if found.facts.st_nlink > 1 and self._link(identity, parent_fd, name):
                return
            if kind == stat.S_IFREG:
                self._file(found, parent_fd, name)
            else:
                self._node(found, parent_fd, name, kind)
            if found.facts.st_nlink > 1:
                self._links[identity] = path
        finally:
            os.close(parent_fd)

    def _clear(self, parent_fd: int, name: bytes, path: bytes) -> None:
        facts = lookup(parent_fd, name)
        if facts is None:
            return
        if stat.S_ISDIR(facts.st_mode):
            if not self._action.replace:
                shown = os.fsdecode(path)
                raise InvalidParameter(f"cannot replace to directory /{shown} with file")
            remove(parent_fd, name)
        else:
            os.unlink(name, dir_fd=parent_fd)

    def _directory(self, found: Found, parent_fd: int, name: bytes, path: bytes, *, top: bool) -> None:
        made = True
        try:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        except FileExistsError:
            facts = lookup(parent_fd, name)
            if facts is not None and not stat.S_ISDIR(facts.st_mode):
                if stat.S_ISLNK(facts.st_mode) and top:
                    return  # the target is a link to a directory: what it leads to was resolved before
                if not self._action.replace:
                    raise InvalidParameter(f"cannot copy to non-directory: /{os.fsdecode(path)}") from None
                os.unlink(name, dir_fd=parent_fd)
                os.mkdir(name, 0o700, dir_fd=parent_fd)
            else:
                made = False
        if not made and (top or self._action.includes):
            return
        fd = os.open(name, OPEN_DIR, dir_fd=parent_fd)
        try:
            self._owned(fd, found)
        finally:
            os.close(fd)
        self._dated.append((path, found.facts))

    def _link(self, identity: tuple[int, int], parent_fd: int, name: bytes) -> bool:
        """Another name of a file that was copied already."""
        first = self._links.get(identity)
        if first is None:
            return False
        directory, _, old = first.rpartition(b"/")
        first_fd = openat2(self._to_fd, directory or b".", DIRECTORY, resolve=RESOLVE)
        try:
            os.link(old, name, src_dir_fd=first_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(first_fd)
        return True

    def _file(self, found: Found, parent_fd: int, name: bytes) -> None:
        source = os.open(found.name, READ, dir_fd=found.dir_fd)
        try:
            fd = os.open(name, CREATE, 0o600, dir_fd=parent_fd)
            try:
                copy_content(source, fd, found.facts.st_size)
                self._owned(fd, found)
                os.utime(fd, ns=self._times(found.facts))
            finally:
                os.close(fd)
        finally:
            os.close(source)

    def _node(self, found: Found, parent_fd: int, name: bytes, kind: int) -> None:
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(found.name, dir_fd=found.dir_fd), name, dir_fd=parent_fd)
        else:
            os.mknod(name, kind | 0o600, found.facts.st_rdev, dir_fd=parent_fd)
        uid, gid = self._owner or (found.facts.st_uid, found.facts.st_gid)
        os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(descriptor_path(parent_fd, name), self._bits(found))
        os.utime(name, ns=self._times(found.facts), dir_fd=parent_fd, follow_symlinks=False)

    def _bits(self, found: Found) -> int:
        mode = found.facts.st_mode
        return self._mode(mode) if self._mode is not None else stat.S_IMODE(mode)

    def _owned(self, fd: int, found: Found) -> None:
        """Owner, attributes, mode: a change of owner takes set-id bits and capabilities away (chown(2))."""
        uid, gid = self._owner or (found.facts.st_uid, found.facts.st_gid)
        os.fchown(fd, uid, gid)
        for key, value in read_xattrs(descriptor_path(found.dir_fd, found.name), follow=False).items():
            os.setxattr(fd, key, value)
        os.fchmod(fd, self._bits(found))

    def _times(self, facts: os.stat_result) -> tuple[int, int]:
        at = self._action.timestamp
        return (at, at) if at is not None else (facts.st_atime_ns, facts.st_mtime_ns)

    def _date(self) -> None:
        """Directories last: what is made in one changes its time."""
        for path, facts in reversed(self._dated):
            directory, _, name = path.rpartition(b"/")
            parent_fd = openat2(self._to_fd, directory or b".", DIRECTORY, resolve=RESOLVE)
            try:
                os.utime(name, ns=self._times(facts), dir_fd=parent_fd, follow_symlinks=False)
            finally:
                os.close(parent_fd)
        self._dated.clear()


def make_directory(
    root_fd: int,
    path: bytes,
    owner: tuple[int, int] | None = None,
    timestamp: int | None = None,
    mode: int = 0o755,
) -> int:
    """Open a directory of a tree, making what is missing of it; the caller closes it. Raises OSError,
    InvalidParameter where a file is in the way.
    """
    resolved = follow(root_fd, path) if path else b""
    fd = openat2(root_fd, b".", DIRECTORY, resolve=RESOLVE)
    for part in filter(None, resolved.split(b"/")):
        try:
            try:
                below = openat2(fd, part, DIRECTORY, resolve=RESOLVE)
            except FileNotFoundError:
                below = _made(fd, part, owner, timestamp, mode)
            except NotADirectoryError:
                raise InvalidParameter(f"mkdir /{os.fsdecode(path)}: not a directory") from None
        finally:
            os.close(fd)
        fd = below
    return fd


def _made(fd: int, part: bytes, owner: tuple[int, int] | None, timestamp: int | None, mode: int) -> int:
    os.mkdir(part, 0o700, dir_fd=fd)
    made = os.open(part, OPEN_DIR, dir_fd=fd)
    try:
        if owner is not None:
            os.fchown(made, *owner)
        os.fchmod(made, mode)  # whatever the umask is
        if timestamp is not None:
            os.utime(made, ns=(timestamp, timestamp))
    except BaseException:
        os.close(made)
        raise
    return made


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Cancelled = Callable[[], bool]

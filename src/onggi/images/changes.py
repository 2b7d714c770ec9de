"""What a container changed: Docker's `diff`, kinds and paths, in the order of the paths.

    overlay_changes(upper_fd, lower_fds)    an upper directory against the layers below it, nearest first
    tree_changes(new_fd, old_fds)           a whole tree against what others show together (native snapshots)

A directory is reported as changed when something in it was added or removed, or its own facts differ. A
directory that an overlay upper makes opaque is compared with what it hides: the answer is the difference
that a process sees, however it came about. Upper directories may belong to a running container: they are
walked through descriptors, never through links. Lower ones do not change, so they are looked up by path.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack

import msgspec

from onggi.images import whiteouts
from onggi.images.tree import OPEN_DIR, lookup

NAMED_DIR = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Kind(enum.IntEnum):
    """The numbers of the Engine API; `letter` is what `docker diff` prints."""

    CHANGED = 0
    ADDED = 1
    DELETED = 2

    @property
    def letter(self) -> str:
        return "CAD"[self]


class Change(msgspec.Struct, frozen=True):
    """One difference; `path` is absolute in the container."""

    kind: Kind
    path: bytes


Lower = tuple[int, bytes]  # root of a layer, path of a directory in it ("." for the root)
Pending = tuple[int, bytes, list[Lower]]  # a directory that is open, its path, what is merged below it
Compare = Callable[[int, bytes, list[Lower], dict[bytes, "Kind"]], list[Pending]]


def overlay_changes(upper_fd: int, lower_fds: list[int]) -> list[Change]:
    """The changes that an overlay's upper directory makes to the layers below it. Raises OSError."""
    return _walk(upper_fd, lower_fds, _overlay_directory)


def tree_changes(new_fd: int, old_fds: list[int]) -> list[Change]:
    """The differences of a tree to what others show, nearest first: it may be in use, they are not.

    Raises OSError.
    """
    return _walk(new_fd, old_fds, _tree_directory)


def _walk(root_fd: int, lower_fds: list[int], compare: Compare) -> list[Change]:
    """By path, component for component, each directory before what is in it."""
    found: dict[bytes, Kind] = {}
    top = os.open(".", OPEN_DIR, dir_fd=root_fd)
    pending: list[Pending] = [(top, b"", [(fd, b".") for fd in lower_fds])]
    try:
        while pending:
            fd, path, lowers = pending.pop()
            try:
                pending += compare(fd, path, lowers, found)
            finally:
                os.close(fd)
    finally:
        for fd, _, _ in pending:
            os.close(fd)
    paths = sorted(found, key=lambda path: path.split(b"/"))
    return [Change(found[path], path) for path in paths]


class Merged:
    """What trees show together, nearest first; they are opened when somebody asks. A context manager."""

    def __init__(self, trees: list[str]) -> None:
        self._trees = trees
        self._open = ExitStack()
        self._tops: list[Lower] | None = None

    def __enter__(self) -> Merged:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def shows(self, path: bytes) -> bool:
        """Is there anything of that path? Raises OSError."""
        if self._tops is None:
            self._tops = []
            for tree in self._trees:
                fd = os.open(tree, NAMED_DIR)
                self._open.callback(os.close, fd)
                self._tops.append((fd, b"."))
        lowers = self._tops
        for name in path.split(b"/"):
            found, lowers = _below(lowers, name)
            if found is None:
                return False
        return True


def _note(found: dict[bytes, Kind], path: bytes, kind: Kind) -> None:
    """Remember a difference; what was added or deleted has changed its directory."""
    found[path] = kind
    directory = path.rpartition(b"/")[0]
    if kind is not Kind.CHANGED and directory:
        found.setdefault(directory, Kind.CHANGED)


def _overlay_directory(fd: int, path: bytes, lowers: list[Lower], found: dict[bytes, Kind]) -> list[Pending]:
    names, gone = whiteouts.listing(fd)
    if lowers and path and whiteouts.is_opaque(fd):
        gone = _merged_names(lowers)
    for name in gone - set(names):
        if _below(lowers, name)[0] is not None:
            _note(found, path + b"/" + name, Kind.DELETED)
    below: list[Pending] = []
    for name in names:
        status = lookup(fd, name)
        if status is None:
            continue
        own = path + b"/" + name
        old, old_dirs = _below(lowers, name)
        if whiteouts.is_whiteout(status):
            if old is not None:
                _note(found, own, Kind.DELETED)
            continue
        _compare(found, own, status, old, copied_up=True)
        if stat.S_ISDIR(status.st_mode):
            below.append((os.open(name, OPEN_DIR, dir_fd=fd), own, old_dirs))
    return below


def _tree_directory(fd: int, path: bytes, olds: list[Lower], found: dict[bytes, Kind]) -> list[Pending]:
    names = [os.fsencode(name) for name in os.listdir(fd)]
    for name in _merged_names(olds) - set(names):
        _note(found, path + b"/" + name, Kind.DELETED)
    below: list[Pending] = []
    for name in names:
        status = lookup(fd, name)
        if status is None:
            continue
        own = path + b"/" + name
        old, old_dirs = _below(olds, name)
        _compare(found, own, status, old, copied_up=False)
        if stat.S_ISDIR(status.st_mode):
            below.append((os.open(name, OPEN_DIR, dir_fd=fd), own, old_dirs))
    return below


def _compare(
    found: dict[bytes, Kind],
    path: bytes,
    new: os.stat_result,
    old: os.stat_result | None,
    *,
    copied_up: bool,
) -> None:
    """A file in an upper directory was written, or it would not be there; a directory may only lead to
    one.
    """
    if old is None:
        _note(found, path, Kind.ADDED)
    elif stat.S_IFMT(new.st_mode) != stat.S_IFMT(old.st_mode):
        _note(found, path, Kind.CHANGED)
    elif stat.S_ISDIR(new.st_mode):
        facts = ("st_mode", "st_uid", "st_gid", "st_mtime_ns")
        if any(getattr(new, fact) != getattr(old, fact) for fact in facts):
            found[path] = Kind.CHANGED
    elif copied_up or not _same_file(new, old):
        found[path] = Kind.CHANGED


def _same_file(new: os.stat_result, old: os.stat_result) -> bool:
    facts = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_rdev")
    return all(getattr(new, fact) == getattr(old, fact) for fact in facts)


def _below(lowers: list[Lower], name: bytes) -> tuple[os.stat_result | None, list[Lower]]:
    """What the layers below show under a name, and the directories that are merged there."""
    shown: os.stat_result | None = None
    merged: list[Lower] = []
    for root_fd, path in lowers:
        own = path + b"/" + name
        status = lookup(root_fd, own)
        if status is None:
            if lookup(root_fd, path + b"/" + whiteouts.PREFIX + name) is not None:
                break
            continue
        if whiteouts.is_whiteout(status) or (shown is not None and not stat.S_ISDIR(status.st_mode)):
            break
        shown = shown or status
        if not stat.S_ISDIR(status.st_mode):
            break
        merged.append((root_fd, own))
        if _opaque(root_fd, own):
            break
    return shown, merged


def _opaque(root_fd: int, path: bytes) -> bool:
    fd = os.open(path, NAMED_DIR, dir_fd=root_fd)
    try:
        return whiteouts.is_opaque(fd)
    finally:
        os.close(fd)


def _merged_names(lowers: list[Lower]) -> set[bytes]:
    """The names that a merged directory shows."""
    names: set[bytes] = set()
    hidden: set[bytes] = set()
    for root_fd, path in lowers:
        fd = os.open(path, OPEN_DIR, dir_fd=root_fd)
        try:
            here, gone = whiteouts.listing(fd)
            for name in set(here) - hidden - names:
                status = lookup(fd, name)
                if status is not None and whiteouts.is_whiteout(status):
                    hidden.add(name)
                else:
                    names.add(name)
            hidden |= gone
        finally:
            os.close(fd)
    return names

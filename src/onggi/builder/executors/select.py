"""Which files of a tree a copy means: wildcards, links, includes and excludes, as one walk.

What is hashed for the cache key and what is copied are this same walk, so a step is cached on exactly the
files that it would copy. The rules are BuildKit's (tonistiigi/fsutil, "copy"): a wildcard matches one
component of a path, links on the way are resolved inside the tree, patterns of includes and excludes speak
of paths below the source.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache

from onggi.builder.graph import CopyAction
from onggi.errors import NotFound
from onggi.images.archive import follow
from onggi.images.tree import OPEN_DIR, RESOLVE
from onggi.kernel.files import openat2
from onggi.spec.dockerignore import Matched, Matcher, Pattern

MAGIC = re.compile(rb"[*?\[\\]")
DEPTH_MAX = 2000  # directories in one another: each is a descriptor and a frame of the walk


class SourceMissing(NotFound):
    """A source of COPY or ADD that is not there; `path` as the Dockerfile has it."""

    def __init__(self, path: str) -> None:
        super().__init__(f'"/{path.strip("/")}": not found')
        self.path = path


class Source:
    """A file or directory that is copied. `path` is where it lies in the tree, links resolved; `name` what a
    copy into a directory calls it.
    """

    __slots__ = ("facts", "name", "path")

    def __init__(self, path: bytes, name: bytes, facts: os.stat_result) -> None:
        self.path = path
        self.name = name
        self.facts = facts

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.facts.st_mode)


class Found:
    """One thing of a walk: `path` below the source (b"" is the source itself), an open parent directory."""

    __slots__ = ("dir_fd", "facts", "name", "path")

    def __init__(self, path: bytes, dir_fd: int, name: bytes, facts: os.stat_result) -> None:
        self.path = path
        self.dir_fd = dir_fd
        self.name = name
        self.facts = facts


def cleaned(path: str) -> bytes:
    """A path without slashes at its ends, `.` and `..`, counted from the root."""
    parts: list[bytes] = []
    for part in os.fsencode(path).split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def sources(root_fd: int, action: CopyAction) -> list[Source]:
    """What `action.source` names, by name. Raises SourceMissing, InvalidParameter (a bad pattern)."""
    path = cleaned(action.source)
    if action.wildcard and MAGIC.search(path):
        names = _matching(root_fd, path, follow_links=action.follow)
        if not names and not action.allow_empty:
            raise SourceMissing(action.source)
    else:
        names = [path]
    return [_source(root_fd, name, action) for name in names]


def _source(root_fd: int, path: bytes, action: CopyAction) -> Source:
    name = path.rpartition(b"/")[2]
    try:
        if action.follow:
            path = follow(root_fd, path)
        fd = openat2(root_fd, path or b".", os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE)
    except OSError as failure:
        if failure.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise SourceMissing(action.source) from None
        raise
    try:
        return Source(path, name, os.fstat(fd))
    finally:
        os.close(fd)


# -- wildcards


def _matching(root_fd: int, pattern: bytes, *, follow_links: bool) -> list[bytes]:
    """Paths that match, component for component; directories behind links are not gone into (as Go's
    Walk).
    """
    parts = pattern.split(b"/")
    fixed = next(at for at, part in enumerate(parts) if MAGIC.search(part))
    start = b"/".join(map(_unescaped, parts[:fixed]))
    if follow_links and start:
        start = follow(root_fd, start)
    found = [start]
    for part in parts[fixed:]:
        match = component(part)
        found = [below for path in found for below in _names(root_fd, path) if match(_last(below))]
    return found


def _last(path: bytes) -> str:
    return os.fsdecode(path.rpartition(b"/")[2])


def _unescaped(part: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", part, flags=re.DOTALL)


def _names(root_fd: int, path: bytes) -> list[bytes]:
    try:
        fd = openat2(root_fd, path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=RESOLVE)
    except OSError as failure:
        if failure.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return []
        raise
    try:
        prefix = path + b"/" if path else b""
        return [prefix + name for name in sorted(map(os.fsencode, os.listdir(fd)))]
    finally:
        os.close(fd)


@lru_cache(256)
def component(pattern: bytes) -> Callable[[str], bool]:
    """Go's filepath.Match for one component. Raises InvalidParameter."""
    return Pattern(os.fsdecode(pattern), False).matches


# -- the walk


class Filters:
    """Includes and excludes of one action."""

    __slots__ = ("excludes", "includes")

    def __init__(self, action: CopyAction) -> None:
        self.includes = Matcher(action.includes) if action.includes else None
        self.excludes = Matcher(action.excludes) if action.excludes else None

    def __bool__(self) -> bool:
        return self.includes is not None or self.excludes is not None


class _Level:
    """A directory on the way down."""

    __slots__ = ("excluded", "fd", "included", "names", "pending")

    def __init__(self, fd: int, names: list[bytes], included: Matched, excluded: Matched) -> None:
        self.fd = fd
        self.names = names
        self.included = included
        self.excluded = excluded
        self.pending: Found | None = None  # a directory that is shown only if something below it is


def walk(root_fd: int, source: Source, filters: Filters) -> Iterator[Found]:
    """The source and all below it that the filters let through, by name, directories before what is in them.

    `Found.dir_fd` is valid until the next step. Raises OSError.
    """
    directory, _, name = source.path.rpartition(b"/")
    parent_fd = openat2(root_fd, directory or b".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE)
    try:
        yield Found(b"", parent_fd, name or b".", source.facts)
        if not source.is_dir:
            return
        top = os.open(name or b".", OPEN_DIR, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    yield from _below(top, filters)


def _below(top: int, filters: Filters) -> Iterator[Found]:
    levels = [_Level(top, _listed(top), Matched(), Matched())]
    prefix = b""
    try:
        while levels:
            level = levels[-1]
            if not level.names:
                os.close(levels.pop().fd)
                prefix = prefix[:-1].rpartition(b"/")[0]
                prefix = prefix + b"/" if prefix else b""
                continue
            name = level.names.pop()
            try:
                facts = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            found = Found(prefix + name, level.fd, name, facts)
            kept, included, excluded = _judge(found, level, filters)
            is_dir = stat.S_ISDIR(facts.st_mode)
            if kept:
                yield from _released(levels)
                yield found
            if not is_dir or not (kept or _may_hold(found, filters)):
                continue
            if len(levels) > DEPTH_MAX:
                raise OSError(errno.ELOOP, f"more than {DEPTH_MAX} directories in one another")
            fd = os.open(name, OPEN_DIR, dir_fd=level.fd)
            below = _Level(fd, _listed(fd), included, excluded)
            if not kept:
                below.pending = found
            levels.append(below)
            prefix += name + b"/"
    finally:
        for level in levels:
            os.close(level.fd)


def _released(levels: list[_Level]) -> Iterator[Found]:
    """Directories on the way that were held back: something below them is shown now."""
    for level in levels:
        if level.pending is not None:
            yield level.pending
            level.pending = None


def _listed(fd: int) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(fd)), reverse=True)


_NONE = Matched()


def _judge(found: Found, level: _Level, filters: Filters) -> tuple[bool, Matched, Matched]:
    included = excluded = _NONE
    kept = True
    if filters.includes is not None:
        included = filters.includes.below(os.fsdecode(found.path), level.included)
        kept = included.excluded
    if filters.excludes is not None:
        excluded = filters.excludes.below(os.fsdecode(found.path), level.excluded)
        kept = kept and not excluded.excluded
    return kept, included, excluded


def _may_hold(found: Found, filters: Filters) -> bool:
    """Whether a directory that is left out itself may hold something that is not."""
    if filters.includes is not None:
        return True
    assert filters.excludes is not None
    return filters.excludes.takes_back and filters.excludes.may_keep_below(os.fsdecode(found.path))

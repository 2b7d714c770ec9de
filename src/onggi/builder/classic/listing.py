"""A context of which only the changes are sent: `onggi build`'s own.

    POST /build/context?buildid=ID&name=NAME    a listing; answers {"wanted": [first, end, first, end, ...]}
    POST /build?buildid=ID&listed=1             an archive: the wanted as context/PATH, and the Dockerfile

NAME is the client's for this directory, ID for the build. A listing has a record for each name in it,
directories before what is in them, and the ranges of the answer count these:

    KIND MODE MTIME STAMP PATH NUL      d, f, l or p; octal; whole seconds; whatever else the client compares

A record that is as it was means a file that is as it was. The tree is kept (cache/contexts.py); it waits for
the build for a minute at most. The listing is hostile: every path is resolved below the tree.
Failpoints: context.received.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.builder.cache.contexts import Context
from onggi.builder.classic import context
from onggi.builder.dockerfile.tree import SIZE_MAX
from onggi.errors import InvalidParameter, NotFound, TooLarge, Unavailable
from onggi.images.apply import extract
from onggi.images.compression import decompress
from onggi.images.tree import PATH, RESOLVE, clean, remove
from onggi.kernel.files import openat2

if TYPE_CHECKING:
    from onggi.builder.builder import Builder
    from onggi.builder.solver.job import Job
    from onggi.builder.solver.results import Folder
    from onggi.images.apply import Source

LISTING_MAX = 64 << 20
KEPT_SECONDS = 60.0
KEPT_MAX = 32
TREE, DOCKERFILE = "context", "Dockerfile"
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


class Record(msgspec.Struct, frozen=True):
    """One name of a listing; `line` is all of it."""

    line: bytes
    kind: bytes
    mtime: int
    path: bytes


class Listed:
    """A context that waits for what has changed in it."""

    def __init__(self, context: Context, listing: bytes) -> None:
        self.context = context
        self.listing = listing
        self.wanted: list[Record] = []
        self._gone: list[Record] = []
        self._directories: dict[bytes, Record] = {}

    def compare(self) -> list[int]:
        """The ranges of records that are not as they were. Raises InvalidParameter."""
        if self.listing == self.context.listing:
            return []
        lines = _lines(self.listing)
        before = _lines(self.context.listing)
        known, now = set(before), set(lines)
        numbers = [number for number, line in enumerate(lines) if line not in known]
        self.wanted = [_record(lines[number]) for number in numbers]
        paths = {_key(line) for line in lines}
        self._gone = [_record(line) for line in before if line not in now and _key(line) not in paths]
        self._directories = {one.path: one for one in map(_record, lines) if one.kind == b"d"}
        return _ranges(numbers)

    def receive(self, stream: Source) -> None:
        """Take what was wanted, and the Dockerfile. Blocking. Raises BadArchive, NoSpace, TooLarge."""
        changed = self.listing != self.context.listing
        if changed:
            self.context.begin()
        try:
            root_fd = os.open(self.context.path, PATH | os.O_CLOEXEC)
            try:
                os.makedirs(f"{self.context.path}/{TREE}", 0o755, exist_ok=True)
                if changed:
                    _below(root_fd, self._remove)
                extract(decompress(stream), root_fd)
                failpoints.hit("context.received")
                if changed:
                    _below(root_fd, self._date)
            finally:
                os.close(root_fd)
        except BaseException:
            if changed:
                self.context.empty()
                self.context.leave(TREE)
            raise
        if changed:
            self.context.leave(TREE, self.listing)

    def _remove(self, tree_fd: int) -> None:
        """What is gone, from below; and directories that were there for it alone."""
        for one in reversed(self._gone):
            parent, _, name = one.path.rpartition(b"/")
            with suppress(*_NOT_THERE), _at(tree_fd, parent) as fd:
                remove(fd, name)
            while parent and parent not in self._directories:
                above, _, name = parent.rpartition(b"/")
                with suppress(*_NOT_THERE), _at(tree_fd, above) as fd:
                    _remove_empty(fd, name)
                parent = above

    def _date(self, tree_fd: int) -> None:
        """Directories in which something came or went have their times again."""
        touched = {one.path.rpartition(b"/")[0] for one in (*self.wanted, *self._gone)}
        for path in touched:
            found = self._directories.get(path)
            if found is not None:
                above, _, name = path.rpartition(b"/")
                times = (found.mtime * 1_000_000_000,) * 2
                with suppress(*_NOT_THERE), _at(tree_fd, above) as fd:
                    os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False)


def _lines(listing: bytes) -> list[bytes]:
    return listing.split(b"\0")[:-1]


def _key(line: bytes) -> tuple[bytes, bytes]:
    """Kind and path: what is another kind of thing now is gone first."""
    return line[:1], line.split(b" ", 4)[-1]


def _record(line: bytes) -> Record:
    try:
        kind, _, mtime, _, path = line.split(b" ", 4)
        found = Record(line, kind, int(mtime), path)
    except ValueError:
        raise InvalidParameter(f"not a record of a listing: {line[:200]!r}") from None
    if kind not in (b"d", b"f", b"l", b"p") or not path or clean(path) != path:
        raise InvalidParameter(f"not a record of a listing: {line[:200]!r}")
    return found


def _ranges(numbers: Iterable[int]) -> list[int]:
    found: list[int] = []
    for number in numbers:
        if found and found[-1] == number:
            found[-1] += 1
        else:
            found += [number, number + 1]
    return found


def _below(root_fd: int, work: Callable[[int], None]) -> None:
    tree_fd = openat2(root_fd, TREE.encode(), PATH, resolve=RESOLVE)
    try:
        work(tree_fd)
    finally:
        os.close(tree_fd)


@contextmanager
def _at(tree_fd: int, path: bytes) -> Iterator[int]:
    """A directory of the tree. Raises FileNotFoundError, NotADirectoryError."""
    fd = openat2(tree_fd, path or b".", PATH, resolve=RESOLVE)
    try:
        yield fd
    finally:
        os.close(fd)


def _remove_empty(parent_fd: int, name: bytes) -> None:
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise


# -- between the two requests


async def offer(builder: Builder, build_id: str, name: str, body: AsyncIterator[bytes]) -> list[int]:
    """What is wanted of a listing. Raises InvalidParameter, TooLarge, Unavailable."""
    if not build_id or not name:
        raise InvalidParameter("buildid and name are needed")
    if len(builder.contexts) >= KEPT_MAX or build_id in builder.contexts:
        raise Unavailable(f"more than {KEPT_MAX} contexts wait for their builds, or one twice")
    listing = await _whole(body)
    listed = await builder.work(_taken, builder, name, listing)
    try:
        wanted = await builder.work(listed.compare)
    except BaseException:
        builder.cache.release(listed.context.record_id)
        raise
    builder.contexts[build_id] = listed
    asyncio.get_running_loop().call_later(KEPT_SECONDS, _late, builder, build_id, listed)
    return wanted


async def _whole(body: AsyncIterator[bytes]) -> bytes:
    parts, size = [], 0
    async for piece in body:
        size += len(piece)
        if size > LISTING_MAX:
            raise TooLarge(f"the listing has more than {LISTING_MAX} bytes")
        parts.append(piece)
    return b"".join(parts)


def _taken(builder: Builder, name: str, listing: bytes) -> Listed:
    hashed = hashlib.sha256(f"listed\0{name}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return Listed(Context.take(builder.cache, hashed), listing)


def _late(builder: Builder, build_id: str, listed: Listed) -> None:
    if builder.contexts.get(build_id) is listed:
        del builder.contexts[build_id]
        builder.cache.release(listed.context.record_id)


def take(builder: Builder, build_id: str) -> Listed:
    """Whoever takes it releases its record. Raises NotFound."""
    found = builder.contexts.pop(build_id, None)
    if found is None:
        raise NotFound(f"no context was listed for build {build_id!r}")
    return found


def received(job: Job, listed: Listed, stream: Source, name: str) -> tuple[Folder, bytes]:
    """The tree of a listed context, and the Dockerfile. Blocking. Raises as Listed.receive, NotFound."""
    listed.receive(stream)
    text = context.read(listed.context.path, DOCKERFILE, SIZE_MAX)
    if text is None:
        raise NotFound(f"Cannot locate specified Dockerfile: {name}")
    folder = listed.context.folder(TREE)
    job.views.adopt(folder, listed.context.digests())
    return folder, text

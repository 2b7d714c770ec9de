"""A directory of the client's, brought over by fsutil's protocol (tonistiigi/fsutil, types/wire.proto).

    client: STAT STAT ... STAT(empty)          parents before what is in them; numbered from 0
    we:     REQ n ...                          the regular files that differ from what is here
    client: DATA n ... DATA n (empty)          several files interleaved; the empty one ends a file
    we:     FIN       client: FIN

A file is taken as unchanged if its type, mode, size and time are what they were. What arrives is written
below directories that this transfer itself has found or made, so no name and no link leads outside.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from onggi.builder.buildkit.messages import kind
from onggi.errors import InvalidParameter, TooLarge

STAT, REQ, DATA, FIN, ERR = range(5)
ENTRIES_MAX = 2_000_000
FLUSH_BYTES = 1 << 20
OPEN_MAX = 256

# Go's os.FileMode
GO_DIRECTORY, GO_LINK, GO_DEVICE, GO_FIFO, GO_SOCKET = 1 << 31, 1 << 27, 1 << 26, 1 << 25, 1 << 24
GO_SETUID, GO_SETGID, GO_CHARACTER, GO_STICKY = 1 << 23, 1 << 22, 1 << 21, 1 << 20
GO_SPECIAL = GO_DIRECTORY | GO_LINK | GO_DEVICE | GO_FIFO | GO_SOCKET

Work = Callable[..., Awaitable[Any]]


class Entry(msgspec.Struct, frozen=True):
    """One name of the client's tree; `mode` is Go's, `path` relative and clean."""

    path: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: str
    device: int
    xattrs: dict[str, bytes]

    @property
    def permissions(self) -> int:
        special = (GO_SETUID, stat.S_ISUID), (GO_SETGID, stat.S_ISGID), (GO_STICKY, stat.S_ISVTX)
        return self.mode & 0o777 | sum(bit for go, bit in special if self.mode & go)

    @property
    def regular(self) -> bool:
        return not self.mode & GO_SPECIAL

    @property
    def hard_link(self) -> bool:
        return self.regular and bool(self.link)


async def receive(
    stream: Any, root: str, work: Work, *, before: bytes = b"", begin: Callable[[], None] | None = None
) -> bytes:
    """Bring `root` to what the client has; a digest of all that the client said of it. Where that is as
    `before`, the tree is as it was then; else `begin` is called before anything changes. `stream` is the open
    call, `work` runs what blocks.

    Raises InvalidParameter (frames that do not fit), TooLarge, OSError.
    """
    entries, said = await _entries(stream)
    if said != before:
        if begin is not None:
            await work(begin)
        await _bring(stream, Tree(root), entries, work)
    await stream.send_message(kind("Packet")(type=FIN), end=True)
    while await stream.recv_message() is not None:
        pass
    return said


async def _bring(stream: Any, tree: Tree, entries: list[Entry], work: Work) -> None:
    try:
        wanted = await work(tree.prepare, entries)
        asking = asyncio.create_task(_ask(stream, wanted))
        try:
            await _data(stream, tree, set(wanted), work)
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await work(tree.finish)
    finally:
        await work(tree.close)


async def _entries(stream: Any) -> tuple[list[Entry], bytes]:
    found: list[Entry] = []
    said = hashlib.sha256()
    directories, regular, seen = {""}, set[str](), set[str]()
    while True:
        packet = await _packet(stream)
        if packet.type != STAT:
            raise InvalidParameter(f"the client sent packet type {packet.type} among the names")
        if not packet.HasField("stat"):
            return found, said.digest()
        said.update(b"%d " % packet.ByteSize() + packet.SerializeToString())
        if len(found) == ENTRIES_MAX:
            raise TooLarge(f"the client's directory has more than {ENTRIES_MAX} names")
        entry = _entry(packet.stat)
        parent = entry.path.rpartition("/")[0]
        if parent not in directories:
            raise InvalidParameter(f"{entry.path}: the client did not send its directory before it")
        if entry.path in seen:
            raise InvalidParameter(f"{entry.path}: the client sent it twice")
        seen.add(entry.path)
        if entry.mode & GO_DIRECTORY:
            directories.add(entry.path)
        elif entry.hard_link and entry.link.lstrip("/") not in regular:
            raise InvalidParameter(f"{entry.path}: the client did not send {entry.link!r} before it")
        elif entry.regular:
            regular.add(entry.path)
        found.append(entry)


def _entry(sent: Any) -> Entry:
    path = sent.path
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidParameter(f"{path!r}: not a path below the client's directory")
    device = os.makedev(sent.devmajor & 0xFFF, sent.devminor & 0xFFFFF)
    return Entry(
        path, sent.mode, sent.uid, sent.gid, sent.size, sent.modTime, sent.linkname, device, dict(sent.xattrs)
    )


async def _packet(stream: Any) -> Any:
    packet = await stream.recv_message()
    if packet is None:
        raise InvalidParameter("the client ended its transfer in the middle")
    if packet.type == ERR:
        raise InvalidParameter(f"error from sender: {packet.data.decode('utf-8', 'replace')}")
    return packet


async def _ask(stream: Any, wanted: list[int]) -> None:
    for number in wanted:
        await stream.send_message(kind("Packet")(type=REQ, ID=number))


async def _data(stream: Any, tree: Tree, left: set[int], work: Work) -> None:
    """Write what comes, in pieces of some size, so that threads are not changed for every packet."""
    pieces: list[tuple[int, bytes]] = []
    waiting = 0
    while left:
        packet = await _packet(stream)
        if packet.type != DATA or packet.ID not in left:
            raise InvalidParameter(f"the client sent packet type {packet.type} for file {packet.ID}, unasked")
        pieces.append((packet.ID, packet.data))
        waiting += len(packet.data) + 512
        if not packet.data:
            left.discard(packet.ID)
        if waiting >= FLUSH_BYTES or not left:
            await work(tree.write, pieces)
            pieces, waiting = [], 0


class Tree:
    """The directory on this host. Its methods block."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._entries: list[Entry] = []
        self._open: dict[int, int] = {}
        self._begun: set[int] = set()
        self._unchanged: set[int] = set()

    def prepare(self, entries: list[Entry]) -> list[int]:
        """Make all but the regular files that differ; the numbers of those. Removes what is gone."""
        self._entries = entries
        self._remove_gone({entry.path for entry in entries})
        wanted = []
        for number, entry in enumerate(entries):
            if not entry.regular:
                self._make(entry)
            elif entry.hard_link:
                continue
            elif self._is_here(entry):
                self._unchanged.add(number)
            else:
                wanted.append(number)
        return wanted

    def _remove_gone(self, kept: set[str]) -> None:
        pending = [""]
        while pending:
            directory = pending.pop()
            with os.scandir(self._at(directory)) as found:
                for one in found:
                    path = f"{directory}/{one.name}".lstrip("/")
                    if path not in kept:
                        _remove(one.path)
                    elif one.is_dir(follow_symlinks=False):
                        pending.append(path)

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _is_here(self, entry: Entry) -> bool:
        try:
            return _same(entry, os.lstat(self._at(entry.path)))
        except FileNotFoundError:
            return False

    def _make(self, entry: Entry) -> None:
        """All but regular files; a directory stays, with what is in it."""
        path = self._at(entry.path)
        if entry.mode & GO_DIRECTORY:
            if not os.path.isdir(path) or os.path.islink(path):
                _remove(path)
                os.mkdir(path, 0o700)
            return
        _remove(path)
        if entry.mode & GO_LINK:
            os.symlink(entry.link, path)
        else:
            os.mknod(path, _node_type(entry) | entry.permissions, entry.device)

    def write(self, pieces: list[tuple[int, bytes]]) -> None:
        """Append; an empty piece ends its file."""
        for number, data in pieces:
            fd = self._file(number)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if not data:
                os.close(self._open.pop(number))

    def _file(self, number: int) -> int:
        fd = self._open.get(number)
        if fd is None:
            if len(self._open) >= OPEN_MAX:
                os.close(self._open.pop(next(iter(self._open))))
            path = self._at(self._entries[number].path)
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            if number not in self._begun:
                self._begun.add(number)
                _remove(path)
                flags |= os.O_CREAT | os.O_EXCL
            fd = self._open[number] = os.open(path, flags, 0o600)
        return fd

    def finish(self) -> None:
        """Owners, modes and times; directories last and from below, for their times change until then."""
        for entry in self._entries:
            if entry.hard_link:
                _remove(self._at(entry.path))
                os.link(self._at(entry.link.lstrip("/")), self._at(entry.path), follow_symlinks=False)
        for number in reversed(range(len(self._entries))):
            if number not in self._unchanged:
                self._settle(self._entries[number])

    def _settle(self, entry: Entry) -> None:
        path = self._at(entry.path)
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        for name, value in entry.xattrs.items():
            os.setxattr(path, name, value, follow_symlinks=False)
        if not entry.mode & GO_LINK:
            os.chmod(path, entry.permissions)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


def _same(entry: Entry, here: os.stat_result) -> bool:
    return (
        stat.S_ISREG(here.st_mode)
        and stat.S_IMODE(here.st_mode) == entry.permissions
        and here.st_size == entry.size
        and here.st_mtime_ns == entry.mtime_ns
        and here.st_nlink == 1
        and (here.st_uid, here.st_gid) == (entry.uid, entry.gid)
        and not entry.xattrs
    )


def _node_type(entry: Entry) -> int:
    if entry.mode & GO_FIFO:
        return stat.S_IFIFO
    if entry.mode & GO_DEVICE:
        return stat.S_IFCHR if entry.mode & GO_CHARACTER else stat.S_IFBLK
    return stat.S_IFSOCK


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        shutil.rmtree(path)

"""A result on its way to the client: one file in pieces, or a tree by fsutil's protocol, over its session.

moby.filesync.v1.FileSend/DiffCopy, the exporter named by buildkit-attachable-exporter-id

file:   BYTES BYTES ... end
tree:   STAT STAT ... STAT(empty)      we;  in the order of a walk, names sorted
        REQ n ...                      the client: the files that it wants
        DATA n ... DATA n (empty)      we
        FIN, FIN                       the client, then we
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any

from grpclib.client import StreamStreamMethod

from onggi.builder.buildkit import files
from onggi.builder.buildkit.files import DATA, FIN, REQ, STAT, Work
from onggi.builder.buildkit.messages import kind
from onggi.builder.outputs.plain import MODE, Tree
from onggi.errors import InvalidParameter, Unavailable
from onggi.images.pack import read_xattrs
from onggi.images.tree import RESOLVE, descriptor_path
from onggi.kernel.files import openat2

METHOD = "/moby.filesync.v1.FileSend/DiffCopy"
PIECE_BYTES = 256 << 10
BATCH = 256
WAITING_MAX = 100_000  # files that were asked for and not sent yet


async def send_file(
    channel: Any, exporter: int, metadata: dict[str, str], pieces: Iterator[bytes], work: Work
) -> None:
    """Bytes to what the client calls exporter `exporter`; `pieces` blocks. Raises GRPCError and its kind."""
    told = {f"exporter-md-{name}": value for name, value in metadata.items()}
    call = StreamStreamMethod(channel, METHOD, kind("Bytes"), kind("Bytes"))
    async with call.open(metadata={"buildkit-attachable-exporter-id": str(exporter), **told}) as stream:
        await stream.send_request()
        while data := await work(next, pieces, b""):
            for start in range(0, len(data), PIECE_BYTES):
                await stream.send_message(kind("Bytes")(data=data[start : start + PIECE_BYTES]))
        await stream.end()
        while await stream.recv_message() is not None:
            pass


async def send_trees(channel: Any, exporter: int, trees: list[Tree], work: Work) -> None:
    """Everything in trees. Raises GRPCError and its kind, InvalidParameter, OSError."""
    call = StreamStreamMethod(channel, METHOD, kind("Packet"), kind("Packet"))
    async with call.open(metadata={"buildkit-attachable-exporter-id": str(exporter)}) as stream:
        await stream.send_request()
        await _Sender(stream, sorted(trees, key=lambda tree: tree.prefix), work).run()


class _Sender:
    def __init__(self, stream: Any, trees: list[Tree], work: Work) -> None:
        self._stream = stream
        self._trees = trees
        self._work = work
        self._paths: dict[int, tuple[Tree, bytes]] = {}  # regular files by their number
        self._wanted: asyncio.Queue[int | None] = asyncio.Queue(WAITING_MAX)

    async def run(self) -> None:
        asking = asyncio.create_task(self._requests())
        try:
            await self._names()
            while (number := await self._next(asking)) is not None:
                await self._file(number)
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await self._stream.send_message(kind("Packet")(type=FIN), end=True)
        while await self._stream.recv_message() is not None:
            pass

    async def _next(self, asking: asyncio.Task[None]) -> int | None:
        waiting = asyncio.ensure_future(self._wanted.get())
        await asyncio.wait([waiting, asking], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            await asking  # raises what ended it
            return None
        return waiting.result()

    async def _requests(self) -> None:
        while (packet := await self._stream.recv_message()) is not None:
            if packet.type == FIN:
                await self._wanted.put(None)
                return
            if packet.type == files.ERR:
                raise Unavailable(f"the client cannot write: {packet.data.decode('utf-8', 'replace')}")
            if packet.type != REQ:
                raise InvalidParameter(f"the client sent packet type {packet.type} while it receives")
            await self._wanted.put(packet.ID)
        raise Unavailable("the client ended the transfer in the middle")

    async def _names(self) -> None:
        number = 0
        for tree in self._trees:
            found = walk(tree)
            while batch := await self._work(_some, found):
                for path, sent in batch:
                    if not sent.mode & files.GO_SPECIAL and not sent.linkname:
                        self._paths[number] = (tree, path)
                    number += 1
                    await self._stream.send_message(kind("Packet")(type=STAT, stat=sent))
        await self._stream.send_message(kind("Packet")(type=STAT))

    async def _file(self, number: int) -> None:
        if number not in self._paths:
            raise InvalidParameter(f"the client asked for file {number}, which is none")
        tree, path = self._paths[number]
        stated = tree.statements.get(os.fsdecode(path))
        if stated is not None:
            for start in range(0, len(stated), PIECE_BYTES):
                data = stated[start : start + PIECE_BYTES]
                await self._stream.send_message(kind("Packet")(type=DATA, ID=number, data=data))
            await self._stream.send_message(kind("Packet")(type=DATA, ID=number))
            return
        fd = await self._work(openat2, tree.root_fd, path, os.O_RDONLY | os.O_NOFOLLOW, resolve=RESOLVE)
        try:
            while data := await self._work(os.read, fd, PIECE_BYTES):
                await self._stream.send_message(kind("Packet")(type=DATA, ID=number, data=data))
        finally:
            os.close(fd)
        await self._stream.send_message(kind("Packet")(type=DATA, ID=number))


def _some(found: Iterator[tuple[bytes, Any]]) -> list[tuple[bytes, Any]]:
    return [one for _, one in zip(range(BATCH), found, strict=False)]


def walk(tree: Tree) -> Iterator[tuple[bytes, Any]]:
    """Path and Stat of everything in it, parents first, names in order. Blocking."""
    root_fd, prefix, at_ns = tree.root_fd, tree.prefix, tree.at_ns
    stated = {os.fsencode(name): len(data) for name, data in tree.statements.items()}
    inodes: dict[tuple[int, int], str] = {}
    todo = [b""]
    if prefix:
        yield b"", kind("Stat")(path=prefix, mode=files.GO_DIRECTORY | 0o755, modTime=at_ns or 0)
    while todo:
        path = todo.pop()
        if path in stated:
            shown = "/".join(filter(None, (prefix, os.fsdecode(path))))
            at = time.time_ns() if at_ns is None else at_ns
            yield path, kind("Stat")(path=shown, mode=MODE, size=stated[path], modTime=at)
            continue
        if path:
            sent = _stat(root_fd, path, prefix, inodes)
            if at_ns is not None:
                sent.modTime = at_ns
            yield path, sent
            if not sent.mode & files.GO_DIRECTORY:
                continue
        fd = openat2(root_fd, path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=RESOLVE)
        try:
            names = list(map(os.fsencode, os.listdir(fd)))
        finally:
            os.close(fd)
        if not path:
            names = list({*names, *stated})
        names.sort(reverse=True)
        todo += [path + b"/" + name if path else name for name in names]


def _stat(root_fd: int, path: bytes, prefix: str, inodes: dict[tuple[int, int], str]) -> Any:
    parent, _, name = path.rpartition(b"/")
    fd = openat2(root_fd, parent or b".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE)
    try:
        shown = "/".join(filter(None, (prefix, path.decode("utf-8", "replace"))))
        return stat_of(fd, name, shown, inodes)
    finally:
        os.close(fd)


def stat_of(
    dir_fd: int, name: bytes, shown: str = "", inodes: dict[tuple[int, int], str] | None = None
) -> Any:
    """The Stat of a name in a directory. `inodes` knows the first name of files with several. Blocking."""
    facts = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    link = os.readlink(name, dir_fd=dir_fd) if stat.S_ISLNK(facts.st_mode) else b""
    xattrs = read_xattrs(descriptor_path(dir_fd, name), follow=False)
    shown = shown or name.decode("utf-8", "replace")
    linkname = link.decode("utf-8", "replace")
    if inodes is not None and stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
        first = inodes.setdefault((facts.st_dev, facts.st_ino), shown)
        linkname = first if first != shown else ""
    device = stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode)
    return kind("Stat")(
        path=shown, mode=go_mode(facts.st_mode), uid=facts.st_uid, gid=facts.st_gid,
        size=facts.st_size if stat.S_ISREG(facts.st_mode) and not linkname else 0,
        modTime=facts.st_mtime_ns, linkname=linkname,
        devmajor=os.major(facts.st_rdev) if device else 0,
        devminor=os.minor(facts.st_rdev) if device else 0,
        xattrs={key.decode("utf-8", "replace"): value for key, value in xattrs.items()},
    )  # fmt: skip


_TYPES: tuple[tuple[Callable[[int], bool], int], ...] = (
    (stat.S_ISDIR, files.GO_DIRECTORY),
    (stat.S_ISLNK, files.GO_LINK),
    (stat.S_ISFIFO, files.GO_FIFO),
    (stat.S_ISSOCK, files.GO_SOCKET),
    (stat.S_ISBLK, files.GO_DEVICE),
    (stat.S_ISCHR, files.GO_DEVICE | files.GO_CHARACTER),
)
_SPECIAL = ((stat.S_ISUID, files.GO_SETUID), (stat.S_ISGID, files.GO_SETGID), (stat.S_ISVTX, files.GO_STICKY))


def go_mode(mode: int) -> int:
    """st_mode as Go's os.FileMode."""
    found = mode & 0o777
    for is_kind, bits in _TYPES:
        if is_kind(mode):
            found |= bits
    for bit, go in _SPECIAL:
        if mode & bit:
            found |= go
    return found

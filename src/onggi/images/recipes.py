"""A plain layer without the content of its files: with the layer's tree it gives the very bytes again.

    make(blob, root_fd, sink) -> bytes left out      every file is compared before it is left out
    Assembled(recipe, root_fd, digest, size)         to be read; at the end compared with the digest

    recipe = zstd of parts      part = PART (bytes that follow, bytes of the name, of the file), bytes, name

Headers, small files, and whatever the tree does not have as the archive has it (a file that a later member
replaced, sparse ones) are raw bytes. Not here: where recipes lie and whose they are (elsewhere.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

from onggi.errors import Corrupt
from onggi.images.compression import Compressor, decompress
from onggi.images.tar.entry import REGULAR, Entry
from onggi.images.tar.reader import Reader
from onggi.images.tree import RESOLVE, clean
from onggi.kernel.files import openat2
from onggi.spec import digest as digests

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PART = struct.Struct("<IIQ")
SMALL_BYTES = 1024  # a file of less is cheaper as raw bytes
CHUNK_BYTES = 256 << 10
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def make(blob: BinaryIO, root_fd: int, sink: Sink) -> int:
    """Write the recipe of a plain layer whose tree is below `root_fd`; returns how many bytes the tree has.

    Raises BadArchive, OSError.
    """
    recipe = Compressor(sink, "zstd")
    reader = Reader(blob)
    told = found = 0  # how far the recipe is; what the tree has
    while (entry := reader.next()) is not None:
        start = reader.offset
        if entry.kind == REGULAR and entry.sparse is None and entry.stored >= SMALL_BYTES:
            name = clean(entry.name)
            if _same(root_fd, name, entry, reader):
                _raw(recipe, blob, told, start, name, entry.stored)
                told = start + entry.stored
                found += entry.stored
    _raw(recipe, blob, told, os.fstat(blob.fileno()).st_size, b"", 0)
    recipe.close()
    return found


def _same(root_fd: int, name: bytes, entry: Entry, reader: Reader) -> bool:
    """Whether the tree has the member's content under its name."""
    try:
        fd = openat2(root_fd, name, READ, resolve=RESOLVE)
    except OSError:
        return False
    with os.fdopen(fd, "rb", buffering=0) as file:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != entry.stored:
            return False
        while piece := reader.piece():
            if file.read(len(piece)) != piece:
                return False
    return True


def _raw(recipe: Compressor, blob: BinaryIO, start: int, end: int, name: bytes, size: int) -> None:
    """Parts for the layer's bytes from `start` to `end`; behind the last one comes a file, where named."""
    while True:
        piece = os.pread(blob.fileno(), min(CHUNK_BYTES, end - start), start)
        start += len(piece)
        last = start == end
        recipe.write(PART.pack(len(piece), len(name) if last else 0, size if last else 0))
        recipe.write(piece)
        if last:
            recipe.write(name)
            return
        if not piece:
            raise OSError(5, "the layer's blob became shorter while it was read")


class Assembled(io.RawIOBase):
    """A layer out of its recipe and its tree. Owns both descriptors; for one thread.

    Reading raises Corrupt where the tree is not what it was: at the place itself, or before the last bytes.
    """

    def __init__(self, recipe: BinaryIO, root_fd: int, digest: str, size: int) -> None:
        super().__init__()
        self._recipe = recipe
        self._root_fd = root_fd
        self._digest = digest
        self._size = size
        self._start()

    def _start(self) -> None:
        self._recipe.seek(0)
        self._pieces = self._assemble()
        self._piece = memoryview(b"")
        self._at = 0
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Forward by reading, back by beginning again. Only from the start (SEEK_SET)."""
        if whence != os.SEEK_SET or offset < 0:
            raise io.UnsupportedOperation("a layer is sought from its start")
        if offset < self._at:
            self._start()
        while self._at < offset and self.read(min(CHUNK_BYTES, offset - self._at)):
            pass
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        out = memoryview(buffer).cast("B")
        while not self._piece:
            try:
                self._piece = memoryview(next(self._pieces))
            except StopIteration:
                return 0
        taken = self._piece[: len(out)]
        self._piece = self._piece[len(taken) :]
        out[: len(taken)] = taken
        self._hash.update(taken)
        self._at += len(taken)
        if self._at >= self._size and digests.PREFIX + self._hash.hexdigest() != self._digest:
            raise self._corrupt("its files have other content")
        return len(taken)

    def close(self) -> None:
        if not self.closed:
            self._recipe.close()
            os.close(self._root_fd)
        super().close()

    def _corrupt(self, why: str) -> Corrupt:
        return Corrupt(f"blob {self._digest} is corrupt: it is put together out of a layer's tree, and {why}")

    def _assemble(self) -> Iterator[bytes]:
        recipe = decompress(self._recipe)
        while head := recipe.read(PART.size):
            raw, name, size = PART.unpack(head + self._exactly(recipe, PART.size - len(head)))
            yield self._exactly(recipe, raw)
            if name:
                yield from self._file(self._exactly(recipe, name), size)
        if self._at < self._size:
            raise self._corrupt(f"its recipe ends at byte {self._at} of {self._size}")

    def _exactly(self, recipe: Source, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = recipe.read(size - len(data))
            if not piece:
                raise self._corrupt("its recipe is cut off")
            data += piece
        return data

    def _file(self, name: bytes, size: int) -> Iterator[bytes]:
        try:
            fd = openat2(self._root_fd, name, READ, resolve=RESOLVE)
        except OSError as error:
            raise self._corrupt(f"/{os.fsdecode(name)}: {os.strerror(error.errno or 0)}") from None
        with contextlib.closing(os.fdopen(fd, "rb", buffering=0)) as file:
            while size:
                piece = file.read(min(size, CHUNK_BYTES))
                if not piece:
                    raise self._corrupt(f"/{os.fsdecode(name)} is too short")
                size -= len(piece)
                yield piece


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...

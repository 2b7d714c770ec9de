"""Compressed streams: found by their first bytes, read and written as streams, digested on the way.

    raw = DigestReader(open(blob, "rb"))          counts and digests what is on disk
    plain = DigestReader(decompress(raw))         ... and what the layer's diff_id is made of
    apply(plain, root_fd, ...); plain.drain(); raw.drain()
    raw.digest, plain.digest                      "sha256:...", of everything that was read

gzip and bzip2 and xz streams may have several members, zstd several frames (pigz, pzstd and concatenation
make them). Source: RFC 1952, RFC 8878, the magic numbers of Docker's pkg/archive. A bomb is stopped here as
well as in apply(): `max_ratio` bounds how much more comes out than went in, once RATIO_FREE bytes have come
out (a gzip of zeroes reaches 1,030; a real layer rarely 20).
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import zlib

from onggi.images.tar.entry import BadArchive

try:
    from isal import isal_zlib
except ImportError:  # no wheel for this machine: zlib has the same interface at half the speed
    isal_zlib = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Source(Protocol):
        def read(self, size: int, /) -> bytes: ...

    class Sink(Protocol):
        def write(self, data: bytes, /) -> object: ...


READ_BYTES = 128 << 10
RATIO_FREE = 1 << 30
MAX_RATIO = 500
XZ_MEMORY_BYTES = 256 << 20  # xz -9 takes 65 MiB; a stream may ask for 4 GiB of dictionary

MAGIC = (
    ("gzip", b"\x1f\x8b\x08"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("xz", b"\xfd7zXZ\x00"),
    ("bzip2", b"BZh"),
)
SKIPPABLE = (b"\x2a\x4d\x18",)  # zstd's skippable frames: 50 to 5f in front, RFC 8878 3.1.2


def detect(head: bytes) -> str:
    """The name of the compression that begins so: gzip, zstd, xz, bzip2, or plain."""
    for name, magic in MAGIC:
        if head.startswith(magic):
            return name
    if head[1:4] in SKIPPABLE and 0x50 <= head[0] <= 0x5F:
        return "zstd"
    return "plain"


class DigestReader:
    """Passes reads through and keeps the sha256 and the number of all bytes that went by."""

    def __init__(self, stream: Source) -> None:
        self._read = stream.read
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def drain(self) -> None:
        """Read to the end: a digest is of the whole stream, a tar reader stops at the trailer."""
        while self.read(1 << 20):
            pass

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of what was read so far."""
        return "sha256:" + self._hash.hexdigest()


class DigestWriter:
    """Passes writes through and keeps the sha256 and the number of all bytes that went by."""

    def __init__(self, sink: Sink) -> None:
        self._write = sink.write
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def decompress(stream: Source, *, max_ratio: int | None = MAX_RATIO) -> Decompressed:
    """A reader of what `stream` holds uncompressed; its attribute `compression` says what was found."""
    head = b""
    while len(head) < 6 and (data := stream.read(READ_BYTES)):
        head += data
    return Decompressed(stream, head, detect(head), max_ratio)


class Decompressed:
    """Reads a compressed stream. BadArchive where it is damaged, ends early, or expands beyond the ratio."""

    def __init__(self, stream: Source, head: bytes, compression: str, max_ratio: int | None) -> None:
        self._read = stream.read
        self._pending = head
        self._max_ratio = max_ratio
        self._in = len(head)
        self._out = 0
        self._decoder: Any = None
        self._decoder_made = False
        self.compression = compression

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, some at least unless the end is reached; all that is left for a negative
        size.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        data = self._plain(size) if self.compression == "plain" else self._some(size)
        self._out += len(data)
        if self._max_ratio and self._out > RATIO_FREE and self._out > self._in * self._max_ratio:
            raise BadArchive(
                f"{self.compression}: {self._in} bytes expand to more than {self._out}: "
                f"over the limit of {self._max_ratio} to 1"
            )
        return data

    def _plain(self, size: int) -> bytes:
        if self._pending:
            data, self._pending = self._pending[:size], self._pending[size:]
            return data
        data = self._read(size)
        self._in += len(data)
        return data

    def _some(self, size: int) -> bytes:
        while True:
            if self._decoder is None:
                if not self._next_member():
                    return b""
                self._decoder = DECODERS[self.compression]()
            data = self._step(size)
            if self._decoder.eof:
                self._pending = self._decoder.unused_data
                self._decoder = None
            if data:
                return data

    def _next_member(self) -> bool:
        """Whether another member begins; zero bytes between and after members are padding (gzip(1),
        xz(1)).
        """
        while True:
            if self._out or self._decoder_made:
                self._pending = self._pending.lstrip(b"\0")
            if self._pending:
                self._decoder_made = True
                return True
            self._pending = self._more()
            if not self._pending:
                return False

    def _step(self, size: int) -> bytes:
        decoder = self._decoder
        if decoder.needs_input and not self._pending:
            self._pending = self._more()
            if not self._pending:
                raise BadArchive(
                    f"{self.compression}: the stream ends after {self._in} bytes, inside a member"
                )
        given, self._pending = self._pending, b""
        try:
            data: bytes = decoder.decompress(given, size)
            return data
        except damaged(self.compression) as error:
            raise BadArchive(f"{self.compression}: damaged before byte {self._in}: {error}") from None

    def _more(self) -> bytes:
        data = self._read(READ_BYTES)
        self._in += len(data)
        return data


class _Gzip:
    """zlib's decompressobj with the interface of lzma's and bz2's: input that was not used is kept inside."""

    def __init__(self) -> None:
        self._inner = (isal_zlib or zlib).decompressobj(wbits=31)
        self._tail = b""
        self._full = False

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self._full

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, size: int) -> bytes:
        out: bytes = self._inner.decompress(self._tail + data if self._tail else data, size)
        self._tail = self._inner.unconsumed_tail
        self._full = len(out) == size
        return out


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # Python 3.14
    except ImportError:
        from backports import zstd
    return zstd


def _zstd_decoder() -> Any:
    return _zstd().ZstdDecompressor()


DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": _Gzip,
    "zstd": _zstd_decoder,
    "xz": lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES),
    "bzip2": bz2.BZ2Decompressor,
}


def damaged(compression: str) -> tuple[type[Exception], ...]:
    """What the decoder raises for bytes that are not its own."""
    if compression == "zstd":
        return (_zstd().ZstdError,)
    if compression == "gzip":
        return (zlib.error, *((isal_zlib.IsalError,) if isal_zlib else ()))
    return (lzma.LZMAError, OSError, ValueError, EOFError)


class Compressor:
    """Compresses what is written into `sink`; close() ends the stream and leaves the sink open.

    gzip has no name and no time in its header, so equal content gives equal bytes.
    """

    def __init__(self, sink: Sink, compression: str = "gzip") -> None:
        self._sink = sink
        if compression == "gzip":
            module = isal_zlib or zlib
            self._encoder: Any = module.compressobj(1 if isal_zlib else 6, zlib.DEFLATED, 31)
        elif compression == "zstd":
            self._encoder = _zstd().ZstdCompressor()
        elif compression == "plain":
            self._encoder = _Plain()
        else:
            raise ValueError(f"no layer is written as {compression}")

    def write(self, data: bytes, /) -> int:
        if out := self._encoder.compress(data):
            self._sink.write(out)
        return len(data)

    def close(self) -> None:
        if out := self._encoder.flush():
            self._sink.write(out)


class _Plain:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""

"""A stream of bytes in, members and their content out; forward only, in one buffer of bounded size.

    reader = Reader(stream)             stream.read(n) gives up to n bytes, b"" at the end
    for entry in reader:
        while piece := reader.piece():  the stored content; what is not taken is skipped
            ...

Reads old V7, ustar, GNU (long names, base-256 numbers, sparse) and PAX. Every header's checksum is verified.
The archive ends at two blocks of zeroes or at the end of the stream on a member's boundary (as Go's
archive/tar has it: some writers leave the trailer out). What follows is left in the stream. Errors are
BadArchive and name the member and the offset in the (uncompressed) archive.

Speed: this runs once for each file of each image. So a header costs one struct.unpack, two adler32 (the low
half of adler32 over 256 bytes is exactly the sum of those bytes plus one: POSIX's checksum at the speed of
C), and a dictionary look-up for each number that was seen before.
"""

from __future__ import annotations

import struct
from zlib import adler32

from onggi.images.tar import pax, sparse
from onggi.images.tar.entry import (
    BLOCK,
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    KIND_NAMES,
    NO_XATTRS,
    REGULAR,
    SPECIAL_BYTES,
    SYMLINK,
    BadArchive,
    Entry,
    shown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Source(Protocol):
        def read(self, size: int, /) -> bytes: ...


READ_BYTES = 256 << 10
ZEROES = bytes(BLOCK)
EMPTY = memoryview(b"")
HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
USTAR = b"ustar\x0000"
GNU = b"ustar  \0"

KINDS = {
    b"0": REGULAR,
    b"\0": REGULAR,
    b"7": REGULAR,
    b"S": REGULAR,
    b"1": HARD_LINK,
    b"2": SYMLINK,
    b"3": CHAR,
    b"4": BLOCK_DEVICE,
    b"5": DIRECTORY,
    b"6": FIFO,
}
MAX_NUMBER = (1 << 63) - 1
OCTAL = b"01234567"


def number(field: bytes) -> int:
    """A numeric field: octal digits between spaces and NULs, or GNU's base-256 where the top bit is set."""
    if field and field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise ValueError(f"the number {field.hex()} has more than 63 bits")
        return value
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if digits.strip(OCTAL):
        raise ValueError(f"{field!r} is not an octal number")
    return int(digits, 8) if digits else 0


def checksum(block: bytes) -> int:
    """The sum of the header's bytes, the checksum's own field taken as spaces."""
    first = (adler32(block[:256]) & 0xFFFF) - 1
    second = (adler32(block[256:]) & 0xFFFF) - 1
    return first + second - sum(block[148:156]) + 256


def signed_checksum(block: bytes) -> int:
    """The same sum over signed bytes, which some old writers made."""
    total = sum(block[:148]) + sum(block[156:]) + 256
    return total - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127)


class Reader:
    """Iterates over the members of one archive. Owns its buffer; the stream is the caller's."""

    def __init__(self, stream: Source) -> None:
        self._read = stream.read
        self._buffer = b""
        self._view = EMPTY
        self._at = 0
        self._end = 0
        self._base = 0  # offset in the archive of the buffer's first byte
        self._left = 0  # bytes of the current member's content that were not taken
        self._padding = 0
        self._entry: Entry | None = None
        self._numbers: dict[bytes, int] = {}
        self._global: pax.Records = {}
        self._finished = False

    @property
    def offset(self) -> int:
        """How many bytes of the archive have been taken."""
        return self._base + self._at

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self.next()) is not None:
            yield entry

    def next(self) -> Entry | None:
        """The next member, or None at the end of the archive. Skips what is left of the last one's
        content.
        """
        if self._left or self._padding:
            self._skip()
        if self._finished:
            return None
        offset = self._base + self._at
        try:
            block = self._header()
            if block is None:
                return None
            kind = block[156:157]
            entry = self._plain(block) if kind in KINDS and not self._global else self._extended(block)
        except ValueError as error:
            self._finished = True
            raise BadArchive(f"tar: at offset {offset}: {error}") from None
        except BadArchive:
            self._finished = True
            raise
        if entry is not None:
            entry.offset = offset
            self._entry = entry
        return entry

    def piece(self) -> memoryview:
        """Some of the current member's stored content, as much as is at hand; empty when all was taken.

        The view is valid until the next call.
        """
        left = self._left
        if not left:
            return EMPTY
        if self._at == self._end:
            self._refill()
        start = self._at
        stop = start + left if left <= self._end - start else self._end
        self._at = stop
        self._left = left - (stop - start)
        return self._view[start:stop]

    # --- the buffer

    def _refill(self) -> None:
        """Replace a buffer that was used up by the next bytes of the stream; the end of it is an error."""
        data = self._read(READ_BYTES)
        self._base += self._end
        self._at = 0
        self._end = len(data)
        self._buffer = data
        self._view = memoryview(data)
        if not data:
            raise self._truncated()

    def _truncated(self) -> BadArchive:
        self._finished = True
        where = f"inside {shown(self._entry.name)!r}" if self._entry and self._left else "inside a header"
        begun = f", which begins at offset {self._entry.offset}" if self._entry and self._left else ""
        return BadArchive(f"tar: unexpected end of the archive at offset {self.offset}, {where}{begun}")

    def _take(self, size: int) -> bytes:
        """Exactly `size` bytes (a header's block or a special member: bounded by the callers)."""
        if self._end - self._at >= size:
            self._at += size
            return self._buffer[self._at - size : self._at]
        parts = []
        while size:
            if self._at == self._end:
                self._refill()
            part = self._buffer[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _block(self) -> bytes:
        return self._take(BLOCK)

    def _skip(self) -> None:
        while self._left:
            self.piece()
        while self._padding:
            if self._at == self._end:
                self._left = self._padding  # the message names the member
                self._refill()
                self._left = 0
            step = min(self._padding, self._end - self._at)
            self._at += step
            self._padding -= step

    # --- headers

    def _header(self) -> bytes | None:
        """The next header block with a right checksum; None at the end."""
        if self._at == self._end and not self._more():
            return None
        block = self._block()
        if block == ZEROES:
            if (self._at < self._end or self._more()) and self._block() != ZEROES:
                raise ValueError("a block of zeroes stands between members")
            self._finished = True
            return None
        try:
            written = self._number(block[148:156])
        except ValueError:
            written = -1
        if written != checksum(block) and written != signed_checksum(block):
            raise ValueError("this is not a tar header: its checksum does not fit")
        return block

    def _more(self) -> bool:
        """Whether the stream has another byte, on a member's boundary."""
        self._left = 0
        self._entry = None
        try:
            self._refill()
        except BadArchive:
            return False
        return True

    def _number(self, field: bytes) -> int:
        known = self._numbers.get(field)
        if known is None:
            known = number(field)
            if len(self._numbers) > 20_000:
                self._numbers.clear()
            self._numbers[field] = known
        return known

    def _plain(self, block: bytes) -> Entry:
        """A member from its own header alone."""
        (name, mode, uid, gid, size, mtime, _, flag, link, magic, uname, gname, major, minor, prefix) = (
            HEADER.unpack(block)
        )
        field = self._number
        entry = Entry.__new__(Entry)
        if name[99]:
            entry.name = name
        else:
            entry.name = name[: name.index(0)]
        kind = KINDS[flag]
        if magic == USTAR:
            if prefix[0]:
                entry.name = prefix.split(b"\0", 1)[0] + b"/" + entry.name
        elif magic != GNU:
            uname = gname = b""
            major = minor = b""
        if flag == b"\0" and entry.name.endswith(b"/"):
            kind = DIRECTORY  # old V7 has no other way to say so
        entry.kind = kind
        entry.mode = field(mode) & 0o7777
        entry.uid = field(uid)
        entry.gid = field(gid)
        entry.mtime_ns = field(mtime) * pax.NANO
        entry.linkname = link.split(b"\0", 1)[0] if link[0] else b""
        entry.uname = uname.split(b"\0", 1)[0]
        entry.gname = gname.split(b"\0", 1)[0]
        entry.xattrs = NO_XATTRS
        entry.sparse = None
        entry.major = entry.minor = 0
        if kind == REGULAR:
            length = field(size)
            if length < 0:
                raise ValueError(f"{shown(entry.name)!r} has the size {length}")
            entry.size = entry.stored = self._left = length
            self._padding = -length % BLOCK
            if flag == b"S":
                self._old_gnu_sparse(entry, block)
        else:
            # Go's archive/tar and GNU tar agree that these kinds have no content, whatever their size says.
            entry.size = entry.stored = 0
            if kind in (CHAR, BLOCK_DEVICE):
                entry.major = field(major)
                entry.minor = field(minor)
        return entry

    def _old_gnu_sparse(self, entry: Entry, block: bytes) -> None:
        pieces, logical = sparse.from_old_gnu(block, self._number, self._block)
        entry.sparse = sparse.checked(pieces, logical, entry.stored)
        entry.size = logical

    def _special(self, block: bytes) -> bytes:
        """The content of a member that describes another one."""
        size = self._number(block[124:136])
        if not 0 <= size <= SPECIAL_BYTES:
            raise ValueError(f"an extended header of {size} bytes is more than the limit of {SPECIAL_BYTES}")
        data = self._take(size)
        self._take(-size % BLOCK)
        return data

    def _extended(self, block: bytes) -> Entry | None:
        """A member and all headers that stand before it; None where only a global header was left."""
        local: pax.Records = {}
        long_name: bytes | None = None
        long_link: bytes | None = None
        while (flag := block[156:157]) not in KINDS:
            if flag == b"x":
                local = pax.parse(self._special(block))  # the last one counts, as in Go
            elif flag == b"g":
                self._merge_global(pax.parse(self._special(block)))
            elif flag == b"L":
                long_name = self._special(block).split(b"\0", 1)[0]
            elif flag == b"K":
                long_link = self._special(block).split(b"\0", 1)[0]
            else:
                name = block[:100].split(b"\0", 1)[0]
                raise ValueError(f"{shown(name)!r} has the unknown type flag {flag!r}")
            following = self._header()
            if following is None:
                if flag == b"g":
                    return None
                raise ValueError("the archive ends after an extended header")
            block = following
        entry = self._sized(block, {**self._global, **local})
        if long_name is not None and b"path" not in local and b"GNU.sparse.name" not in local:
            entry.name = long_name
        if long_link is not None and b"linkpath" not in local:
            entry.linkname = long_link
        return entry

    def _merge_global(self, records: pax.Records) -> None:
        self._global.update(records)
        if sum(len(key) + len(value) for key, value in self._global.items()) > SPECIAL_BYTES:
            raise ValueError(f"the global PAX records are longer than {SPECIAL_BYTES} bytes")

    def _sized(self, block: bytes, records: pax.Records) -> Entry:
        """The member with PAX records over its own header."""
        if size := records.get(b"size"):
            # Sizes of 8 GiB and more do not fit the header, which may then hold anything.
            block = block[:124] + b"%011o\0" % 0 + block[136:]
        entry = self._plain(block)
        if size and entry.kind == REGULAR:
            entry.size = entry.stored = self._left = sparse.decimal(size)
            self._padding = -entry.stored % BLOCK
        if records:
            self._override(entry, records)
        return entry

    def _override(self, entry: Entry, records: pax.Records) -> None:
        get = records.get
        entry.name = get(b"path") or entry.name
        entry.linkname = get(b"linkpath") or entry.linkname
        entry.uname = get(b"uname") or entry.uname
        entry.gname = get(b"gname") or entry.gname
        if value := get(b"uid"):
            entry.uid = sparse.decimal(value)
        if value := get(b"gid"):
            entry.gid = sparse.decimal(value)
        if value := get(b"mtime"):
            entry.mtime_ns = pax.nanoseconds(value)
        entry.xattrs = pax.xattrs(records) or NO_XATTRS
        if entry.kind == REGULAR and (get(b"GNU.sparse.major") or pax.MAP in records):
            self._pax_sparse(entry, records)

    def _pax_sparse(self, entry: Entry, records: pax.Records) -> None:
        get = records.get
        entry.name = get(b"GNU.sparse.name") or entry.name
        if get(b"GNU.sparse.major", b"0") == b"1" and get(b"GNU.sparse.minor") == b"0":
            logical = sparse.decimal(get(b"GNU.sparse.realsize", b""))
            pieces, taken = sparse.from_content(self._block, entry.stored)
            entry.stored -= taken
            self._left -= taken
        elif pax.MAP in records:
            logical = sparse.decimal(get(b"GNU.sparse.size", b"") or get(b"GNU.sparse.realsize", b""))
            text = records[pax.MAP]
            pieces = sparse.pairs([sparse.decimal(part) for part in text.split(b",")] if text else [])
        else:
            raise ValueError(f"{shown(entry.name)!r} is sparse in an unknown way")
        entry.sparse = sparse.checked(pieces, logical, entry.stored)
        entry.size = logical


def read(stream: Source) -> Iterator[Entry]:
    """The members of an archive, without their content."""
    return iter(Reader(stream))


__all__ = ["KIND_NAMES", "Reader", "read"]

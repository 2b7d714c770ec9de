"""Members in, a tar archive out: ustar where the member fits it, PAX records where it does not.

    writer = Writer(stream)                      stream.write(bytes)
    writer.add(entry, b"content")                or an object with read(n), or pieces: begin(), put(), end()
    writer.close()                               the trailer; does not close the stream

The choices are Go's archive/tar's (what Docker writes), so that a member has one form: a name is split for
the ustar prefix if it is ASCII and fits, else it is a `path` record; numbers that do not fit are records; a
time has a record only where it has a fraction or is before 1970. Sparse members are GNU.sparse 1.0, which
Go, GNU tar, bsdtar and tarfile read. Equal members give equal bytes.
"""

from __future__ import annotations

from onggi.images.tar import pax, sparse
from onggi.images.tar.entry import BLOCK, BLOCK_DEVICE, CHAR, DIRECTORY, REGULAR, Entry, shown
from onggi.images.tar.reader import HEADER, checksum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Sink(Protocol):
        def write(self, data: bytes, /) -> object: ...

    class Source(Protocol):
        def read(self, size: int, /) -> bytes: ...


WRITE_BYTES = 256 << 10
MAX_SIZE = 0o77777777777
MAX_ID = 0o7777777
PAX_TIME = 0  # an extended header's own time, mode and owner mean nothing; fixed, for equal bytes


class Writer:
    """Writes one archive. Owns its buffer; the stream is the caller's."""

    def __init__(self, stream: Sink) -> None:
        self._write = stream.write
        self._parts: list[bytes] = []
        self._buffered = 0
        self._left = 0
        self._padding = 0
        self._name = b""

    def add(self, entry: Entry, content: bytes | Source = b"") -> None:
        """A whole member. The content is what is stored: for a sparse member, its pieces one after
        another.
        """
        self.begin(entry)
        if isinstance(content, bytes):
            self.put(content)
        else:
            while self._left and (data := content.read(min(self._left, WRITE_BYTES))):
                self.put(data)
        self.end()

    def begin(self, entry: Entry) -> None:
        """The member's headers; exactly `entry.stored` bytes are to follow by put()."""
        if self._left:
            raise ValueError(f"{shown(self._name)!r} lacks {self._left} bytes of its content")
        records = {pax.SCHILY + name: value for name, value in entry.xattrs.items()}
        front = b""
        stored = entry.stored if entry.kind == REGULAR else 0
        self._name = name = entry.name
        if entry.kind == DIRECTORY and not name.endswith(b"/"):
            name += b"/"
        self._left = stored
        if entry.sparse is not None and entry.kind == REGULAR:
            front = sparse.to_content(entry.sparse, entry.size)
            records[b"GNU.sparse.major"] = b"1"
            records[b"GNU.sparse.minor"] = b"0"
            records[b"GNU.sparse.name"] = name
            records[b"GNU.sparse.realsize"] = b"%d" % entry.size
            name = aside(name, b"GNUSparseFile.0")
            stored += len(front)
        block = self._member(entry, name, stored, records)
        if records:
            self._extended(self._name, pax.join(records))
        self._emit(block)
        if front:
            self._emit(front)
        self._padding = -stored % BLOCK

    def put(self, data: bytes) -> None:
        """Some of the content."""
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"{shown(self._name)!r} has {-self._left} bytes more than its header says")
        self._emit(data)

    def end(self) -> None:
        """The content is whole; pads it."""
        if self._left:
            raise ValueError(f"{shown(self._name)!r} lacks {self._left} bytes of its content")
        if self._padding:
            self._emit(bytes(self._padding))
            self._padding = 0

    def close(self) -> None:
        """Write the trailer and everything that is buffered."""
        self._emit(bytes(2 * BLOCK))
        self.flush()

    def flush(self) -> None:
        if self._parts:
            self._write(b"".join(self._parts))
            self._parts.clear()
            self._buffered = 0

    def _emit(self, data: bytes) -> None:
        self._parts.append(data)
        self._buffered += len(data)
        if self._buffered >= WRITE_BYTES:
            self.flush()

    def _member(self, entry: Entry, name: bytes, stored: int, records: pax.Records) -> bytes:
        """The ustar block; what does not fit into it is put into `records`."""
        prefix, short = split_name(name)
        if not short:
            records.setdefault(b"path", name)
            short = ascii_only(name)[:100]
        link = entry.linkname
        if len(link) > 100 or not link.isascii():
            records[b"linkpath"] = link
            link = ascii_only(link)[:100]
        seconds, fraction = divmod(entry.mtime_ns, pax.NANO)
        if fraction or not 0 <= seconds <= MAX_SIZE:
            records[b"mtime"] = pax.seconds(entry.mtime_ns)
            seconds = min(max(seconds, 0), MAX_SIZE)
        if stored > MAX_SIZE:
            records[b"size"] = b"%d" % stored
        devices = entry.kind in (CHAR, BLOCK_DEVICE)
        if devices and not (0 <= entry.major <= MAX_ID and 0 <= entry.minor <= MAX_ID):
            raise ValueError(f"{shown(name)!r}: a tar archive cannot hold device {entry.major}:{entry.minor}")
        return ustar(
            short,
            prefix,
            entry.kind,
            entry.mode,
            small(entry.uid, b"uid", records),
            small(entry.gid, b"gid", records),
            stored if stored <= MAX_SIZE else 0,
            seconds,
            link,
            text_field(entry.uname, b"uname", records),
            text_field(entry.gname, b"gname", records),
            entry.major if devices else 0,
            entry.minor if devices else 0,
        )

    def _extended(self, name: bytes, data: bytes) -> None:
        """The extended header of one member."""
        _, short = split_name(aside(name, b"PaxHeaders.0"))
        block = ustar(
            short or b"PaxHeaders.0/member",
            b"",
            ord("x"),
            0o644,
            0,
            0,
            len(data),
            PAX_TIME,
            b"",
            b"",
            b"",
            0,
            0,
        )
        self._emit(block)
        self._emit(data + bytes(-len(data) % BLOCK))


def ustar(
    name: bytes,
    prefix: bytes,
    kind: int,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    link: bytes,
    uname: bytes,
    gname: bytes,
    major: int,
    minor: int,
) -> bytes:
    """One header block with its checksum; every value fits its field."""
    block = HEADER.pack(
        name,
        b"%07o" % mode,
        b"%07o" % uid,
        b"%07o" % gid,
        b"%011o" % size,
        b"%011o" % mtime,
        b"        ",
        bytes((kind,)),
        link,
        b"ustar\x0000",
        uname,
        gname,
        b"%07o" % major,
        b"%07o" % minor,
        prefix,
    )
    return block[:148] + b"%06o\0 " % checksum(block) + block[156:]


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """(prefix, name) for the ustar fields, or two empty ones where a name does not fit them."""
    if not name.isascii() or b"\0" in name:
        return b"", b""
    if len(name) <= 100:
        return b"", name
    cut = name.rfind(b"/", 0, 156)
    if name.endswith(b"/") and cut == len(name) - 1:
        cut = name.rfind(b"/", 0, cut)
    if cut <= 0 or len(name) - cut - 1 > 100 or cut == len(name) - 1:
        return b"", b""
    return name[:cut], name[cut + 1 :]


def aside(name: bytes, folder: bytes) -> bytes:
    """The name that describes `name` without being it: in a folder of its own beside it."""
    directory, _, base = name.rstrip(b"/").rpartition(b"/")
    made = ascii_only(b"/".join(filter(None, (directory, folder, base))))
    return made if len(made) <= 100 else ascii_only(folder + b"/" + base[-80:])


def ascii_only(name: bytes) -> bytes:
    return bytes(byte for byte in name if 0 < byte < 128)


def small(value: int, key: bytes, records: pax.Records) -> int:
    if 0 <= value <= MAX_ID:
        return value
    records[key] = b"%d" % value
    return 0


def text_field(value: bytes, key: bytes, records: pax.Records) -> bytes:
    if len(value) <= 32 and value.isascii():
        return value
    records[key] = value
    return ascii_only(value)[:32]


__all__ = ["Writer"]

"""One member of a tar archive, as a value, and the bounds that hold for every archive.

Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar
Format". Not here: bytes on the wire (reader.py, writer.py).
"""

from __future__ import annotations

from onggi.errors import InvalidParameter

BLOCK = 512

# The kinds of member, by their type flag. Old V7's NUL and POSIX's "contiguous" are read as REGULAR.
REGULAR = ord("0")
HARD_LINK = ord("1")
SYMLINK = ord("2")
CHAR = ord("3")
BLOCK_DEVICE = ord("4")
DIRECTORY = ord("5")
FIFO = ord("6")

KIND_NAMES = {
    REGULAR: "file",
    HARD_LINK: "hard link",
    SYMLINK: "symbolic link",
    CHAR: "character device",
    BLOCK_DEVICE: "block device",
    DIRECTORY: "directory",
    FIFO: "fifo",
}

# What describes one member (PAX records, a GNU long name, a sparse map) may take this many bytes. Go's
# archive/tar has the same bound, so no archive that Docker reads is refused (CVE-2025-58183 was its lack).
SPECIAL_BYTES = 1 << 20

# A name longer than PATH_MAX - 1 cannot be given to the kernel in one system call.
NAME_BYTES = 4095

NO_XATTRS: dict[bytes, bytes] = {}


class BadArchive(InvalidParameter):
    """The bytes are not a tar archive, or not a whole one; the message names the member and the offset."""


def shown(name: bytes) -> str:
    """A name for an error message: readable, on one line, not longer than a line."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= 200 else f"{text[:160]}...({len(name)} bytes)"


class Entry:
    """A member: its header with PAX and GNU extensions resolved.

    `size` is the logical length of the content (with holes); `stored` the bytes that the archive holds of it.
    `sparse` is None, or the ordered (offset, length) pieces that are stored; all else is a hole.
    `offset` is where the member's first header begins in the archive, for messages.
    """

    __slots__ = (
        "gid",
        "gname",
        "kind",
        "linkname",
        "major",
        "minor",
        "mode",
        "mtime_ns",
        "name",
        "offset",
        "size",
        "sparse",
        "stored",
        "uid",
        "uname",
        "xattrs",
    )

    def __init__(
        self,
        name: bytes,
        kind: int = REGULAR,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime_ns: int = 0,
        linkname: bytes = b"",
        uname: bytes = b"",
        gname: bytes = b"",
        major: int = 0,
        minor: int = 0,
        xattrs: dict[bytes, bytes] = NO_XATTRS,
        sparse: list[tuple[int, int]] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.mtime_ns = mtime_ns
        self.linkname = linkname
        self.uname = uname
        self.gname = gname
        self.major = major
        self.minor = minor
        self.xattrs = xattrs
        self.sparse = sparse
        self.stored = size if sparse is None else sum(length for _, length in sparse)
        self.offset = 0

    def __repr__(self) -> str:
        return f"<{KIND_NAMES.get(self.kind, self.kind)} {shown(self.name)} {self.mode:o} {self.size} bytes>"

"""PAX extended headers: records "LENGTH KEY=VALUE\\n" that override fields of the next member, or of all
later ones.

Precedence, weakest first: the ustar header, global records, local records. An empty value takes a record
back. Extended attributes are records too: SCHILY.xattr.NAME=raw bytes (star, GNU tar, Go) and
LIBARCHIVE.xattr.NAME=base64 (bsdtar; NAME is percent-encoded).

Source: POSIX.1-2017 pax, "pax Extended Header"; libarchive tar(5), "Pax Interchange Format".
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from onggi.images.tar.sparse import decimal

Records = dict[bytes, bytes]

SCHILY = b"SCHILY.xattr."
LIBARCHIVE = b"LIBARCHIVE.xattr."
MAP = b"GNU.sparse.map"
NAMES = (b"path", b"linkpath", b"uname", b"gname", b"GNU.sparse.name")
NANO = 1_000_000_000


def parse(data: bytes) -> Records:
    """All records of one extended header. The repeated ones of sparse 0.0 are joined to the map of 0.1."""
    records: Records = {}
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        if space < 0:
            raise ValueError(f"a PAX record does not begin with its length: {data[at : at + 20]!r}")
        end = at + decimal(data[at:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or data[end - 1 : end] != b"\n" or not equals or not key:
            raise ValueError(f"a PAX record is malformed: {data[at : at + 60]!r}")
        if key in NAMES and b"\0" in value:
            raise ValueError(f"the PAX record {key.decode()} holds a NUL byte")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            if (key == b"GNU.sparse.offset") != (len(pieces) % 2 == 0) or b"," in value:
                raise ValueError("the sparse records of a PAX header are out of order")
            pieces.append(value)
        else:
            records[key] = value
        at = end
    if pieces:
        records[MAP] = b",".join(pieces)
    return records


def nanoseconds(text: bytes) -> int:
    """A PAX time: decimal seconds with a sign and a fraction of any length. The fraction is cut at
    nanoseconds.
    """
    sign = -1 if text[:1] == b"-" else 1
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    digits = decimal(fraction[:9].ljust(9, b"0"))
    return sign * (decimal(whole or b"0") * NANO + digits)


def seconds(mtime_ns: int) -> bytes:
    """A time as a PAX value: no fraction where there is none, no zeroes at its end."""
    sign = b"-" if mtime_ns < 0 else b""
    whole, rest = divmod(abs(mtime_ns), NANO)
    return sign + b"%d" % whole + (b".%09d" % rest).rstrip(b"0") if rest else sign + b"%d" % whole


def xattrs(records: Records) -> dict[bytes, bytes]:
    """The extended attributes among the records; SCHILY's raw bytes win over LIBARCHIVE's base64."""
    found: dict[bytes, bytes] = {}
    for key, value in records.items():
        if key.startswith(LIBARCHIVE):
            try:
                padded = value + b"=" * (-len(value) % 4)
                found[unquote_to_bytes(key[len(LIBARCHIVE) :])] = base64.b64decode(padded, validate=True)
            except binascii.Error:
                raise ValueError(f"the PAX record {key[:80]!r} is not base64") from None
    for key, value in records.items():
        if key.startswith(SCHILY):
            found[key[len(SCHILY) :]] = value
    for name in found:
        if not name or b"\0" in name:
            raise ValueError(f"{name[:80]!r} is not a name of an extended attribute")
    return found


def record(key: bytes, value: bytes) -> bytes:
    """One record; its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) + rest != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def join(records: Records) -> bytes:
    """Records as the content of an extended header, ordered by key so that equal members have equal bytes."""
    return b"".join(record(key, records[key]) for key in sorted(records))

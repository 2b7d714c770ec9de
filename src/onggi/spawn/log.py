"""The json-file log: Docker's format, written in batches, rotated, never in the container's way.

    {"log":"a line\\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-01-02T03:04:05.678901234Z"}

    ID-json.log, ID-json.log.1 (or .1.gz), ... the oldest has the highest number

One line of output is one line of the file; a line longer than 16 KiB is several entries of which only the
last ends in \\n, and so does output without a newline at its end (Docker's rule: joined, the entries are
the output). All lines of one read carry the same instant. Instants never go back within a log, across runs
and clock changes either: readers find `since` by bisection (engine/containers/log_files.py), so there is no
index that could be wrong.

Escapes are those of Docker's writer (Go's): `"` `\\` newline and return by letter, other controls and < > &
as
\\u00XX, U+2028 and U+2029 too; each byte that is not UTF-8 is U+FFFD.

A full disk does not stop the container: entries that cannot be written are dropped and counted, the file ends
with a whole line, and the first entry that fits again is preceded by one that says how many were lost.

Owns the open file. One writer for each log: the shim.
"""

from __future__ import annotations

import _codecs
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIECE_BYTES = 16384
STREAMS = (b"", b"stdout", b"stderr")
_HEAD = b'{"log":"'
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC

_SPECIAL = bytes([*range(0x0A), *range(0x0B, 0x20)]) + b'"\\<>&'
_PLAIN = bytes(set(range(256)) - set(_SPECIAL))
_ESCAPES = {byte: b"\\u%04x" % byte for byte in _SPECIAL} | {0x22: b'\\"', 0x5C: b"\\\\", 0x0D: b"\\r"}
_LINE_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    """Go's rule: one U+FFFD for each wrong byte. Python's own "replace" joins bytes of a cut character."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


_codecs.register_error("onggi.bytewise", _replace_each_byte)


def escape(data: bytes) -> bytes:
    """The inside of a JSON string for `data`, newlines left as they are."""
    specials = data.translate(None, _PLAIN)
    if specials:
        present = set(specials)
        if 0x5C in present:  # first: the others bring backslashes
            data = data.replace(b"\\", b"\\\\")
        for byte in present - {0x5C}:
            data = data.replace(bytes((byte,)), _ESCAPES[byte])
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode("utf-8", "onggi.bytewise").encode()
    for separator, text in _LINE_SEPARATORS:
        data = data.replace(separator, text)
    return data


def pieces(data: bytes) -> list[bytes]:
    """Whole lines, cut where one is longer than 16 KiB: runs of ordinary lines stay together.

    A cut never falls inside a UTF-8 character.
    """
    found = []
    run = start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + PIECE_BYTES + 1) + 1
        if end:
            start = end
            continue
        if start > run:
            found.append(data[run:start])
        cut = _character_end(data, start + PIECE_BYTES)
        found.append(data[start:cut])
        run = start = cut
    if start > run:
        found.append(data[run:start])
    return found


def _character_end(data: bytes, at: int) -> int:
    """The last place not after `at` where no UTF-8 character is cut; `at` itself where the bytes are none."""
    for back in range(4):
        if at - back >= len(data) or data[at - back] & 0xC0 != 0x80:
            return at - back
    return at


class JsonLog:
    """The log of one container. Raises OSError from the constructor only."""

    __slots__ = (
        "_attrs", "_compress", "_dropped", "_fd", "_last", "_max_bytes", "_max_files",
        "_path",
        "_reason", "_rests", "_second", "_second_text", "_size", "compressing_pid", "written",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        *,
        max_bytes: int,
        max_files: int,
        compress: bool,
        attrs: bytes,
        opened: tuple[int, int, int] | None = None,
    ) -> None:
        """`opened` is what open_log gave, in a process that could afford it."""
        self._fd, self._size, self._last = opened or open_log(path)
        self._path = path
        self._max_bytes = max_bytes if max_bytes > 0 else 1 << 62
        self._max_files = max_files
        self._compress = compress
        self._attrs = b'"attrs":' + attrs + b"," if attrs else b""
        self.compressing_pid = 0  # a child of ours, or 0
        self._rests = [b"", b"", b""]
        self._dropped, self._reason = 0, ""
        self._second, self._second_text = -1, b""
        self.written = 0  # bytes in this run

    def write(self, stream: int, data: bytes) -> None:
        """Output of stream 1 or 2, as it was read; whole lines are written, the rest waits."""
        if self._rests[stream]:
            data = self._rests[stream] + data
        whole = data.rfind(b"\n") + 1
        rest = data[whole:] if whole else data
        lines = data[:whole] if whole != len(data) else data
        batches = pieces(lines)
        while len(rest) > PIECE_BYTES:
            cut = _character_end(rest, PIECE_BYTES)
            batches.append(rest[:cut])
            rest = rest[cut:]
        self._rests[stream] = rest
        if batches:
            suffix = self._suffix(stream)
            self._append(b"".join([_entries(batch, suffix) for batch in batches]))

    def finish(self) -> None:
        """Write what has no newline at its end, and close."""
        for stream in (1, 2):
            if self._rests[stream]:
                self._append(_entries(self._rests[stream], self._suffix(stream)))
        if self._dropped:
            self._append(b"")
        os.close(self._fd)

    def _suffix(self, stream: int) -> bytes:
        now = time.time_ns()
        self._last = now = now if now > self._last else self._last
        second, nanos = divmod(now, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return b'","stream":"%b",%b"time":"%b.%09dZ"}\n' % (
            STREAMS[stream], self._attrs, self._second_text, nanos,
        )  # fmt: skip

    def _append(self, entries: bytes) -> None:
        """Write entries, cut between two of them where the file has reached its size."""
        if self._dropped:
            entries = self._notice() + entries
        start = 0
        while start < len(entries):
            if self._size >= self._max_bytes and not self._rotate():
                self._drop(entries[start:])
                return
            room = start + self._max_bytes - self._size
            end = entries.find(b"\n", room - 1) + 1 if room < len(entries) else len(entries)
            if not self._put(entries[start:end] if start or end < len(entries) else entries):
                self._drop(entries[end:])
                return
            start = end

    def _put(self, entries: bytes) -> bool:
        """Write, or leave the file at the end of the last whole entry that fitted and count the others."""
        done = 0
        try:
            while done < len(entries):
                done += os.write(self._fd, memoryview(entries)[done:] if done else entries)
        except OSError as error:
            self._reason = os.strerror(error.errno) if error.errno else str(error)
            kept = entries.rfind(b"\n", 0, done) + 1
            self._size += kept
            self.written += kept
            os.ftruncate(self._fd, self._size)
            self._drop(entries[kept:])
            return False
        self._size += done
        self.written += done
        if self._dropped:
            self._dropped, self._reason = 0, ""
        return True

    def _drop(self, entries: bytes) -> None:
        self._dropped += entries.count(b"\n") - (1 if entries.startswith(_NOTICE) else 0)

    def _notice(self) -> bytes:
        text = b"%b%d log entries were lost: %b\n" % (
            _NOTICE[len(_HEAD) :],
            self._dropped,
            self._reason.encode(),
        )
        return _entries(text, self._suffix(2))

    def _rotate(self) -> bool:
        """Move the files on by one and begin an empty one; False where the file system refuses."""
        if self._max_files < 2:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return True
        self._wait_for_compression()
        fresh = f"{self._path}.fresh"
        try:
            fd = os.open(fresh, _FLAGS | os.O_TRUNC, 0o640)  # first: a full disk must not cost an old file
            self._shift()
            os.rename(fresh, self._path)
        except OSError as error:
            self._reason = os.strerror(error.errno) if error.errno else str(error)
            return False
        os.close(self._fd)
        self._fd, self._size = fd, 0
        if self._compress:
            self.compressing_pid = compress_apart(f"{self._path}.1")
        return True

    def _shift(self) -> None:
        for name in (f"{self._path}.{self._max_files - 1}", f"{self._path}.{self._max_files - 1}.gz"):
            _unlink(name)
        for number in range(self._max_files - 2, 0, -1):
            for ending in ("", ".gz"):
                _rename(f"{self._path}.{number}{ending}", f"{self._path}.{number + 1}{ending}")
        _rename(self._path, f"{self._path}.1")

    def _wait_for_compression(self) -> None:
        if self.compressing_pid:
            os.waitpid(self.compressing_pid, 0)
            self.compressing_pid = 0


_NOTICE = _HEAD + b"onggi: "


def _entries(lines: bytes, suffix: bytes) -> bytes:
    """JSON lines for a run of lines, or for one piece without a newline."""
    if not lines.endswith(b"\n"):
        return _HEAD + escape(lines) + suffix
    return _HEAD + escape(lines)[:-1].replace(b"\n", b"\\n" + suffix + _HEAD) + b"\\n" + suffix


def open_log(path: str) -> tuple[int, int, int]:
    """Open a log to go on writing it: (descriptor, size, instant of the last entry). Raises OSError."""
    fd = os.open(path, _FLAGS, 0o640)
    size = os.fstat(fd).st_size
    last = last_instant(fd, size)
    return fd, _end_torn_line(fd, size), last


def _end_torn_line(fd: int, size: int) -> int:
    """A writer that was killed in the middle of a line leaves a torn one: cut it off. The size then."""
    start = max(0, size - 8 * PIECE_BYTES)
    tail = os.pread(fd, size - start, start)
    whole = tail.rfind(b"\n") + 1
    if whole == len(tail) or (start and not whole):
        return size
    os.ftruncate(fd, start + whole)
    return start + whole


def last_instant(fd: int, size: int) -> int:
    """The instant of the last whole entry of a log, in ns; 0 where there is none."""
    start = max(0, size - 8 * PIECE_BYTES)
    tail = os.pread(fd, size - start, start)
    at = tail.rfind(b'"time":"')
    stop = tail.find(b'Z"}\n', at)
    if at < 0 or stop < 0:
        return 0
    try:
        return instant(tail[at + 8 : stop])
    except ValueError:
        return 0


def instant(text: bytes) -> int:
    """`2026-01-02T03:04:05.678901234` in ns since 1970; the fraction may be short or absent.

    Raises ValueError. Days are counted by hand: calendar and datetime cost an import.
    """
    date, _, fraction = text.partition(b".")
    year, month, day = int(date[0:4]), int(date[5:7]), int(date[8:10])
    seconds = int(date[11:13]) * 3600 + int(date[14:16]) * 60 + int(date[17:19])
    shifted = year - (month <= 2)  # a year that begins in March, so that leap days come last
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1 - 719468
    return (days * 86400 + seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0")[:9] or 0)


def compress_apart(path: str) -> int:
    """Compress `path` into `path.gz` in a child of its own, gentle to the machine; its pid, for waitpid."""
    pid = os.fork()
    if pid == 0:
        try:
            _compress_here(path)
        finally:
            os._exit(0)
    return pid


def _compress_here(path: str) -> None:
    os.closerange(3, 65536)
    os.nice(10)
    import zlib  # in this process only: the shim does not pay for it

    packer: Any = zlib.compressobj(6, zlib.DEFLATED, 31)
    partial = f"{path}.gz.partial"
    source = os.open(path, os.O_RDONLY)
    target = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        while data := os.read(source, 1 << 18):
            _write_all(target, packer.compress(data))
        _write_all(target, packer.flush())
        modified = os.fstat(source).st_mtime_ns  # readers skip files that ended before `since`
        os.utime(target, ns=(modified, modified))
        os.rename(partial, f"{path}.gz")
        os.unlink(path)
    except OSError:
        _unlink(partial)  # a full disk: the plain file stays, and is read as well


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _rename(old: str, new: str) -> None:
    try:
        os.rename(old, new)
    except FileNotFoundError:
        return

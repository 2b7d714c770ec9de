"""Reading json-file logs: the last N entries, or those since an instant, through rotation, in big chunks.

    path.3.gz  path.2  path.1  path          oldest to newest (spawn/log.py writes them)

`since` is found by bisection of a file, `tail` by counting newlines backwards: neither reads what it does not
return, but of compressed files. A batch of lines is decoded at once; each entry becomes a frame of its own,
as dockerd's does: clients such as aiodocker take a frame for a line. A reader holds its file open, so that
renaming or compressing it takes nothing from him; he finds the next one by his own's inode, or, compressed,
by its modification time, which the compressor keeps, and its checksum. Rotation renames the files one after
the other: what was opened by names counts only where these were the same before and after.

Blocking. Not here: waiting for more (logs.py).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import msgspec

from onggi.spawn.log import instant

CHUNK_BYTES = 1 << 19
_BLOCK_BYTES = 1 << 16
_LINE_BYTES = 1 << 18  # no entry is longer: 16 KiB of controls, and the attributes


class Entry(msgspec.Struct):
    """One line of the file."""

    log: str
    stream: str
    time: str
    attrs: dict[str, str] | None = None

    def at(self) -> int:
        return instant(self.time.rstrip("Z").encode())


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted. Instants in ns, 0 for none; `tail` None for all; `framed` with 8-byte heads."""

    stdout: bool = True
    stderr: bool = True
    since: int = 0
    until: int = 0
    tail: int | None = None
    timestamps: bool = False
    details: bool = False
    framed: bool = True


_decoder = msgspec.json.Decoder(Entry)
_HEADS = {"stdout": b"\x01\0\0\0", "stderr": b"\x02\0\0\0"}


class _File:
    """One log file, plain or compressed, read forward from an offset."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stat = os.fstat(self.fd)
        self.inode = stat.st_ino
        self.offset = 0
        self._unzip = zlib.decompressobj(31) if path.endswith(".gz") else None
        self._rest = b""

    @property
    def compressed(self) -> bool:
        return self._unzip is not None

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def modified_at(self) -> int:
        return os.fstat(self.fd).st_mtime_ns

    def checksum(self) -> int:
        """Of all of it."""
        found = at = 0
        while data := os.pread(self.fd, CHUNK_BYTES, at):
            found = zlib.crc32(data, found)
            at += len(data)
        return found

    def lines(self) -> bytes:
        """The next whole lines; b"" at the end of what is there."""
        while True:
            data = os.pread(self.fd, CHUNK_BYTES, self.offset)
            self.offset += len(data)
            if not data:
                return b""
            if self._unzip is not None:
                data = self._unzip.decompress(data)
            data = self._rest + data
            cut = data.rfind(b"\n") + 1
            self._rest = data[cut:]
            if cut:
                return data[:cut]

    def seek_since(self, since: int) -> None:
        """Go to a line not after the first one of `since` or later, and at most a block before it."""
        low, high = 0, self.size()
        while high - low > _BLOCK_BYTES:
            middle = (low + high) // 2
            found = _line_after(self.fd, middle)
            if found is None or found[0] >= high:
                high = middle
            elif found[1] < since:
                low = found[0]
            else:
                high = middle
        self.offset = low

    def seek_tail(self, wanted: int) -> int:
        """Go to the last `wanted` lines; how many there are if fewer."""
        position, found = self.size(), 0
        end = position
        while position > 0:
            start = max(0, position - _BLOCK_BYTES)
            block = os.pread(self.fd, position - start, start)
            if position == end and not block.endswith(b"\n"):
                found -= 1  # a line that is just being written does not count
            newlines = block.count(b"\n")
            if found + newlines > wanted:
                at = len(block)
                for _ in range(wanted - found + 1):
                    at = block.rfind(b"\n", 0, at)
                self.offset = start + at + 1
                return wanted
            found += newlines
            position = start
        self.offset = 0
        return max(found, 0)

    def count(self) -> int:
        """Lines of a compressed file."""
        total, self.offset = 0, 0
        while lines := self.lines():
            total += lines.count(b"\n")
        self.offset = 0
        self._unzip, self._rest = zlib.decompressobj(31), b""
        return total

    def close(self) -> None:
        os.close(self.fd)


def _line_after(fd: int, offset: int) -> tuple[int, int] | None:
    """(start, instant) of the first whole line behind `offset`."""
    block = os.pread(fd, 2 * _LINE_BYTES, offset)
    start = block.find(b"\n") + 1
    end = block.find(b"\n", start)
    at = block.rfind(b'"time":"', start, end)
    if not start or end < 0 or at < 0:
        return None
    text = block[at + 8 : block.index(b'"', at + 8)].rstrip(b"Z")
    try:
        return offset + start, instant(text)
    except ValueError:
        return None


def _listed(path: str) -> list[tuple[str, int]]:
    """The log's files and their inodes, oldest first."""
    found = []
    for each in files(path):
        try:
            found.append((each, os.stat(each).st_ino))
        except FileNotFoundError:
            continue  # it is being renamed: whoever lists them again sees a difference
    return found


def _open_all(path: str) -> list[_File]:
    """The log's files as they are at one moment, oldest first."""
    while True:
        listed = _listed(path)
        found = [file for each, _ in listed if (file := _open(each)) is not None]
        if [file.inode for file in found] == [inode for _, inode in listed] and _listed(path) == listed:
            return found
        for file in found:
            file.close()


def _position(listed: list[tuple[str, int]], ours: _File) -> int | None:
    """Which of `listed` is the open file, or holds what was in it.

    The inode decides. A file that is gone from its directory was compressed: then it is the .gz with its time
    and checksum. The time alone would not do: files that were filled within one clock tick share it.
    """
    gone = not os.fstat(ours.fd).st_nlink
    for number, (path, inode) in enumerate(listed):
        if inode == ours.inode or (gone and path.endswith(".gz") and _packs(path, ours)):
            return number
    return None


def _packs(path: str, ours: _File) -> bool:
    """Was it made of our file? A gzip file states checksum and length in its last eight bytes (RFC 1952)."""
    file = _open(path)
    if file is None:
        return False
    try:
        stated = os.pread(file.fd, 8, max(0, file.size() - 8))
        return (
            file.modified_at() == ours.modified_at()
            and int.from_bytes(stated[4:], "little") == ours.size()
            and int.from_bytes(stated[:4], "little") == ours.checksum()
        )
    finally:
        file.close()


class LogReader:
    """Everything selected from one container's log, chunk by chunk. Owns the open file."""

    def __init__(self, path: str, selection: Selection) -> None:
        self._path = path
        self._selection = selection
        self._file: _File | None = None
        self._skip = 0  # lines still to be dropped, of a compressed file
        self._since_reached = not selection.since
        self.done = False  # `until` was passed: nothing more will come
        self._begin()

    def chunks(self) -> Iterator[bytes]:
        """Output of what is there now; call again when the log has grown."""
        while not self.done and (lines := self._next_lines()):
            if out := self._render(_decode(lines)):
                yield out

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # --- where to begin ----------------------------------------------------------------------

    def _begin(self) -> None:
        opened = _open_all(self._path)
        try:
            tail = self._selection.tail
            self._file = self._first(opened) if tail is None else self._first_of_tail(opened, tail)
        finally:
            for file in opened:
                if file is not self._file:
                    file.close()

    def _first(self, opened: list[_File]) -> _File | None:
        since = self._selection.since
        for file in opened:
            if file.modified_at() < since and file is not opened[-1]:
                continue  # its newest line is older
            if since and not file.compressed:
                file.seek_since(since)
            return file
        return None

    def _first_of_tail(self, opened: list[_File], wanted: int) -> _File | None:
        file = None
        for file in reversed(opened):
            found = file.count() if file.compressed else file.seek_tail(wanted)
            if found >= wanted:
                self._skip = found - wanted if file.compressed else 0
                break
            wanted -= found
        return file

    # --- reading -----------------------------------------------------------------------------

    def _next_lines(self) -> bytes:
        while True:
            if self._file is None:
                self._file = _open(self._path)
                if self._file is None:
                    return b""
            if self._file.size() < self._file.offset:
                self._file.offset = 0  # max-file=1: it was emptied
            lines = self._file.lines()
            if lines:
                return lines
            following = self._following()
            if following is None:
                return b""
            lines = self._file.lines()  # written between the last read and the rotation
            if lines:
                following.close()
                return lines
            self.close()
            self._file = following

    def _following(self) -> _File | None:
        """The file after ours, None where ours is the newest."""
        assert self._file is not None
        while True:
            listed = _listed(self._path)
            here = _position(listed, self._file)
            rest = listed[here + 1 :] if here is not None else listed  # dropped by rotation: the oldest left
            file = _open(rest[0][0]) if rest else None
            if (file is not None or not rest) and _listed(self._path) == listed:
                return file
            if file is not None:
                file.close()

    # --- what is shown -----------------------------------------------------------------------

    def _render(self, entries: list[Entry]) -> bytes:
        selection = self._selection
        if self._skip:
            dropped = min(self._skip, len(entries))
            self._skip -= dropped
            entries = entries[dropped:]
        if not self._since_reached and entries:
            entries = [entry for entry in entries if entry.at() >= selection.since]
            self._since_reached = bool(entries)
        if selection.until and entries and entries[-1].at() > selection.until:
            entries = [entry for entry in entries if entry.at() <= selection.until]
            self.done = True
        if not (selection.stdout and selection.stderr):
            wanted = "stdout" if selection.stdout else "stderr"
            entries = [entry for entry in entries if entry.stream == wanted]
        if not selection.framed:
            return self._text(entries)
        bare = not (selection.timestamps or selection.details)
        out: list[bytes] = []
        for entry in entries:
            text = (entry.log if bare else self._prefix(entry) + entry.log).encode()
            out += (_HEADS[entry.stream], len(text).to_bytes(4, "big"), text)
        return b"".join(out)

    def _text(self, entries: list[Entry]) -> bytes:
        if not (self._selection.timestamps or self._selection.details):
            return "".join([entry.log for entry in entries]).encode()
        return "".join([self._prefix(entry) + entry.log for entry in entries]).encode()

    def _prefix(self, entry: Entry) -> str:
        """Instant with nine digits and attributes, as Docker orders them."""
        prefix = ""
        if self._selection.timestamps:
            whole, _, fraction = entry.time.rstrip("Z").partition(".")
            prefix = f"{whole}.{fraction.ljust(9, '0')}Z "
        if self._selection.details:
            attrs = entry.attrs or {}
            prefix += ",".join(f"{key}={attrs[key]}" for key in sorted(attrs)) + " "
        return prefix


def _decode(lines: bytes) -> list[Entry]:
    """Entries of whole lines; one that is no entry is left out, and the others are shown."""
    try:
        return _decoder.decode_lines(lines)
    except msgspec.DecodeError:
        pass  # one at a time, then
    found = []
    for line in lines.splitlines():
        try:
            found.append(_decoder.decode(line))
        except msgspec.DecodeError:
            continue
    return found


def files(path: str) -> list[str]:
    """The log's files that exist, oldest first."""
    directory, name = os.path.split(path)
    numbered = {}
    try:
        listed = os.listdir(directory)
    except FileNotFoundError:
        return []
    for other in listed:
        number = other.removeprefix(f"{name}.").removesuffix(".gz")
        if not other.startswith(f"{name}.") or not number.isdigit():
            continue
        if int(number) not in numbered or not other.endswith(".gz"):
            numbered[int(number)] = f"{directory}/{other}"  # both while one is compressed: the plain is whole
    found = [numbered[number] for number in sorted(numbered, reverse=True)]
    return [*found, path] if name in listed else found


def _open(path: str) -> _File | None:
    try:
        return _File(path)
    except FileNotFoundError:
        return None  # rotated away in between

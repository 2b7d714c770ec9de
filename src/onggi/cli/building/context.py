"""A directory as a build context: a tar without what .dockerignore leaves out, written as it is sent.

Owners are 0:0 and times whole seconds, as Docker's client sends them, so that a checkout by anybody is the
same context. Names that do not fit a ustar header have a PAX record (POSIX.1-2017, pax). The tarfile module
costs 30 ms to import; what a context needs of the format is little.
Not here: what a pattern means (spec/dockerignore.py).
"""

from __future__ import annotations

import os
import stat

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from onggi.spec.dockerignore import Matcher

BLOCK = 512
SEND_BYTES = 256 << 10
_KINDS = {stat.S_IFREG: b"0", stat.S_IFLNK: b"2", stat.S_IFDIR: b"5", stat.S_IFIFO: b"6"}
_SIZE_MAX = 0o77777777777


class Context:
    """What is sent of a directory. `more` are files that are not in it, by name."""

    def __init__(self, path: str, dockerfile: str, more: dict[str, bytes]) -> None:
        self.path = path
        self._more = more
        self._matcher = _matcher(path, dockerfile)

    def __iter__(self) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = 0
        for piece in self._pieces():
            parts.append(piece)
            size += len(piece)
            if size >= SEND_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
        yield b"".join([*parts, bytes(2 * BLOCK)])

    def _pieces(self) -> Iterator[bytes]:
        for name, data in self._more.items():
            yield header(name.encode(), b"0", 0o600, len(data), 0)
            yield data + bytes(-len(data) % BLOCK)
        yield from self._below("")

    def _below(self, directory: str) -> Iterator[bytes]:
        try:
            entries = sorted(os.scandir(f"{self.path}/{directory}"), key=lambda entry: entry.name)
        except OSError as error:
            raise CommandError(f"error checking context: {_reason(error)}: {directory or '.'}") from None
        for entry in entries:
            name = f"{directory}/{entry.name}" if directory else entry.name
            kept = self._matcher is None or not self._matcher.excludes(name)
            is_dir = entry.is_dir(follow_symlinks=False)
            if kept:
                yield from self._member(entry, name)
            if is_dir and (kept or (self._matcher is not None and self._matcher.may_keep_below(name))):
                yield from self._below(name)

    def _member(self, entry: os.DirEntry[str], name: str) -> Iterator[bytes]:
        try:
            facts = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return  # it went meanwhile
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode))
        if kind is None:
            return  # sockets and devices are no part of a context
        mode, mtime = stat.S_IMODE(facts.st_mode), max(0, int(facts.st_mtime))
        path = os.fsencode(name)
        if kind == b"0":
            yield from self._file(entry, path, mode, mtime)
        elif kind == b"2":
            yield header(path, kind, 0o777, 0, mtime, os.fsencode(os.readlink(entry.path)))
        else:
            yield header(path + b"/" if kind == b"5" else path, kind, mode, 0, mtime)

    def _file(self, entry: os.DirEntry[str], path: bytes, mode: int, mtime: int) -> Iterator[bytes]:
        """Exactly as many bytes as the header says: a file that shrinks meanwhile is filled up."""
        try:
            fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise CommandError(
                f"error checking context: can't stat '{entry.path}': {_reason(error)}"
            ) from None
        try:
            left = os.fstat(fd).st_size
            yield header(path, b"0", mode, left, mtime)
            padding = bytes(-left % BLOCK)
            while left:
                data = os.read(fd, min(left, SEND_BYTES)) or bytes(min(left, SEND_BYTES))
                left -= len(data)
                yield data
            yield padding
        finally:
            os.close(fd)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _matcher(path: str, dockerfile: str) -> Matcher | None:
    """The patterns that hold: the Dockerfile's own, else the context's. Both files themselves are sent."""
    for name in (f"{dockerfile}.dockerignore" if dockerfile else "", f"{path}/.dockerignore"):
        try:
            with open(name, "rb") as file:
                data = file.read()
        except OSError:
            continue
        from onggi.errors import InvalidParameter
        from onggi.spec import dockerignore

        inside = os.path.relpath(dockerfile, path) if dockerfile else "Dockerfile"
        always = ("!.dockerignore", f"!{inside}", f"!{inside}.dockerignore")
        try:
            return dockerignore.Matcher((*dockerignore.read(data), *always))
        except InvalidParameter as error:
            raise CommandError(f"error checking context: {error.message}") from None
    return None


def header(path: bytes, kind: bytes, mode: int, size: int, mtime: int, target: bytes = b"") -> bytes:
    """A member's header, with an extended one before it where it needs one."""
    records = b""
    prefix, name = b"", path
    if len(path) > 100:
        cut = path.rfind(b"/", 0, 156)
        if cut > 0 and 0 < len(path) - cut - 1 <= 100:
            prefix, name = path[:cut], path[cut + 1 :]
        else:
            records += _record(b"path", path)
            name = path[-100:].lstrip(b"/")
    if len(target) > 100:
        records += _record(b"linkpath", target)
    if size > _SIZE_MAX:
        records += _record(b"size", b"%d" % size)
    block = _block(name, kind, mode, min(size, _SIZE_MAX), mtime, target[:100], prefix)
    if not records:
        return block
    return (
        _block(b"PaxHeaders", b"x", 0o644, len(records), 0, b"", b"")
        + records
        + bytes(-len(records) % BLOCK)
        + block
    )


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH key=value\\n`, whose length counts itself."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _block(name: bytes, kind: bytes, mode: int, size: int, mtime: int, target: bytes, prefix: bytes) -> bytes:
    front = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, 0, 0, size, mtime)
    back = b"%s%sustar\x0000%s%s%s\0" % (
        kind, target.ljust(100, b"\0"), bytes(64), b"0000000\x000000000\0", prefix.ljust(155, b"\0")
    )  # fmt: skip
    back = back.ljust(BLOCK - 8 - len(front), b"\0")
    checksum = sum(front) + sum(back) + 8 * 32
    return front + b"%06o\0 " % checksum + back

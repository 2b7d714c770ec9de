"""A directory as a build context: a tar without what .dockerignore leaves out, written as it is sent.

Owners are 0:0 and times whole seconds, as Docker's client sends them, so that a checkout by anybody is the
same context. Names that do not fit a ustar header have a PAX record (POSIX.1-2017, pax). The tarfile module
costs 30 ms to import; what a context needs of the format is little.
Not here: what a pattern means (spec/dockerignore.py).
"""

from __future__ import annotations

import os
import stat

from onggi.cli.building import dockerfiles
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onggi.spec.dockerignore import Matcher

    Entry = tuple[str, os.DirEntry[str], os.stat_result]

BLOCK = 512
SEND_BYTES = 256 << 10
KINDS = {stat.S_IFREG: b"0", stat.S_IFLNK: b"2", stat.S_IFDIR: b"5", stat.S_IFIFO: b"6"}
_SIZE_MAX = 0o77777777777


def joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of an archive and its end, in parts that are worth a system call each."""
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= SEND_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join([*parts, bytes(2 * BLOCK)])


def whole(path: bytes, data: bytes) -> tuple[bytes, bytes]:
    """A file that is only in memory."""
    return header(path, b"0", 0o600, len(data), 0), data + bytes(-len(data) % BLOCK)


class Context:
    """What is sent of a directory. `dockerfile` is a path below it; with a `text` the Dockerfile is not in
    the directory, and goes beside it as `name`, which no instruction sees.
    """

    def __init__(self, path: str, dockerfile: str, *, name: str = "", text: bytes | None = None) -> None:
        self.path = path
        self.dockerfile = dockerfile
        self._name = name
        self._text = text
        self._patterns = _patterns(path, dockerfile)

    def text(self) -> bytes:
        """The Dockerfile. Raises CommandError."""
        return dockerfiles.whole(self.dockerfile) if self._text is None else self._text

    def __iter__(self) -> Iterator[bytes]:
        """As an archive, whole."""
        yield from joined(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        replaced = self._replaced()
        for name, data in replaced.items():
            yield from whole(name.encode(), data)
        for name, entry, facts in self.entries(always=True):
            if name not in replaced:
                yield from self.member(b"", name, entry, facts)

    def _replaced(self) -> dict[str, bytes]:
        """A Dockerfile from elsewhere, and patterns that hide it, as Docker's client sends them."""
        if self._text is None:
            return {}
        try:
            ignored = _content(f"{self.path}/.dockerignore")
        except CommandError:
            ignored = b".dockerignore"
        return {self._name: self._text, ".dockerignore": ignored + f"\n{self._name}\n".encode()}

    def entries(self, *, always: bool) -> Iterator[Entry]:
        """Everything that is not ignored, by name, directories before what is in them. With `always` the
        Dockerfile and .dockerignore come in spite of the patterns: an engine needs to read them.
        """
        matcher = self._matcher(always=always)
        levels = [iter(self._listed(""))]
        prefixes = [""]
        while levels:
            entry = next(levels[-1], None)
            if entry is None:
                levels.pop()
                prefixes.pop()
                continue
            name = prefixes[-1] + entry.name
            kept = matcher is None or not matcher.excludes(name)
            if kept:
                try:
                    yield name, entry, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it went meanwhile
            if entry.is_dir(follow_symlinks=False) and (
                kept or (matcher is not None and matcher.may_keep_below(name))
            ):
                levels.append(iter(self._listed(name)))
                prefixes.append(f"{name}/")

    def _listed(self, directory: str) -> list[os.DirEntry[str]]:
        try:
            return sorted(os.scandir(f"{self.path}/{directory}"), key=lambda entry: entry.name)
        except OSError as error:
            raise CommandError(f"error checking context: {_reason(error)}: {directory or '.'}") from None

    def _matcher(self, *, always: bool) -> Matcher | None:
        if not self._patterns:
            return None
        from onggi.errors import InvalidParameter
        from onggi.spec import dockerignore

        inside = os.path.relpath(self.dockerfile, self.path) if self.dockerfile else "Dockerfile"
        more = ("!.dockerignore", f"!{inside}", f"!{inside}.dockerignore") if always else ()
        try:
            return dockerignore.Matcher((*self._patterns, *more))
        except InvalidParameter as error:
            raise CommandError(f"error checking context: {error.message}") from None

    def member(
        self, prefix: bytes, name: str, entry: os.DirEntry[str], facts: os.stat_result
    ) -> Iterator[bytes]:
        """One name as an archive has it; nothing of a socket or device."""
        kind = KINDS.get(stat.S_IFMT(facts.st_mode))
        if kind is None:
            return
        mode, mtime = stat.S_IMODE(facts.st_mode), max(0, int(facts.st_mtime))
        path = prefix + os.fsencode(name)
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


def _content(path: str) -> bytes:
    """Patterns. Raises CommandError."""
    try:
        with open(path, "rb") as file:
            data = file.read(dockerfiles.MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"unable to prepare context: {_reason(error)}: {path}") from None
    if len(data) > dockerfiles.MAX_BYTES:
        raise CommandError(f"{path} has more than {dockerfiles.MAX_BYTES} bytes")
    return data


def _patterns(path: str, dockerfile: str) -> tuple[str, ...]:
    """Those that hold: the Dockerfile's own, else the context's. Raises CommandError."""
    for name in (f"{dockerfile}.dockerignore" if dockerfile else "", f"{path}/.dockerignore"):
        if not os.path.isfile(name):
            continue
        from onggi.errors import InvalidParameter
        from onggi.spec import dockerignore

        try:
            return dockerignore.read(_content(name))
        except InvalidParameter as error:
            raise CommandError(f"error checking context: {error.message}") from None
    return ()


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

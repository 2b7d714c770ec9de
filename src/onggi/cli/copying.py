"""The archives of cp: read one into a local tree, write one of a local tree.

Extraction stays below the target: every directory on the way is opened without following links, so that a
hostile container cannot write elsewhere (CVE-2018-15664 and its kin, from the client's side). tarfile is
imported here only.
"""

from __future__ import annotations

import os
import stat

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from tarfile import TarInfo
    from typing import Any

    from onggi.cli.http import Response

GO_DIRECTORY = 1 << 31
GO_DEVICE, GO_IRREGULAR = 1 << 26, 1 << 19
GO_LINK = 1 << 27
_CHUNK = 1 << 20


def decode_stat(header: str) -> dict[str, Any]:
    """X-Docker-Container-Path-Stat: base64 of JSON with name, size, mode (Go's bits), mtime, linkTarget."""
    import binascii

    from onggi import jsontext

    found: dict[str, Any] = jsontext.loads(binascii.a2b_base64(header)) if header else {}
    return found


def clean(path: str, written: str) -> str:
    """Normal form of an absolute path that keeps the meaning of a trailing `/` and `/.`."""
    plain = os.path.normpath("/" + path.lstrip("/"))
    if written.endswith("/.") or written == ".":
        return plain.rstrip("/") + "/."
    return plain + "/" if written.endswith("/") and plain != "/" else plain


class Counted:
    """Chunks, and how many bytes they had."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk


class Local:
    """A local file or directory that goes into a container. Raises CommandError where there is none."""

    def __init__(self, path: str) -> None:
        self.contents = path.endswith("/.") or path == "."
        self.path = os.path.abspath(path)
        try:
            found = os.stat(self.path) if path.endswith("/") or self.contents else os.lstat(self.path)
        except OSError as error:
            raise CommandError(f"lstat {self.path}: {(error.strerror or '').lower()}") from None
        self.is_dir = stat.S_ISDIR(found.st_mode)
        self.name = os.path.basename(self.path) or "/"
        if path.endswith("/") and not self.is_dir:
            raise CommandError(f"{path}: not a directory")

    def tar(self, name: str) -> Iterator[bytes]:
        """The archive of the tree, its root called `name`; file by file, never whole in memory."""
        import tarfile

        writer = tarfile.TarFile(fileobj=_Nowhere(), mode="w", format=tarfile.PAX_FORMAT)  # type: ignore[arg-type]
        for path, inside in _walk(self.path, name):
            info = writer.gettarinfo(path, inside)
            if info is None:  # a socket has no form in an archive
                continue
            info.name = inside  # gettarinfo drops a leading slash; later names of one inode become links
            yield info.tobuf(tarfile.PAX_FORMAT)
            if info.isreg():
                yield from _content(path, info.size)
        yield b"\0" * 1024


class _Nowhere:
    """A file for TarFile, whose records this module writes itself."""

    name = ""
    mode = "wb"

    def tell(self) -> int:
        return 0


def _walk(path: str, name: str) -> Iterator[tuple[str, str]]:
    yield path, name
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for entry in sorted(os.listdir(path)):
            yield from _walk(f"{path}/{entry}", f"{name}/{entry}")


def _content(path: str, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes and the padding: a file that shrinks meanwhile is filled up, as tar does."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        left = size
        while left:
            data = os.read(fd, min(left, _CHUNK)) or b"\0" * min(left, _CHUNK)
            left -= len(data)
            yield data
    finally:
        os.close(fd)
    yield b"\0" * (-size % 512)


def destination(local: Local, path: str, found: dict[str, Any] | None) -> tuple[str, str]:
    """(directory of the container, name of the archive's root) for a copy to `path`. Raises CommandError."""
    plain = path.rstrip("/") or "/"
    is_dir = found is not None and bool(found.get("mode", 0) & GO_DIRECTORY)
    if is_dir:
        return path, "." if local.contents else local.name
    if found is not None and local.is_dir:
        raise CommandError("cannot copy directory")
    if found is None and path.endswith("/") and not local.is_dir:
        raise CommandError("no such directory")
    if found is not None and path.endswith("/"):
        raise CommandError("not a directory")
    return os.path.dirname(plain), os.path.basename(plain)


def check_place(target: str) -> None:
    """What a copy may replace: no device, or /dev/null would be a file. Raises CommandError."""
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return  # it is made, or refused by its own name
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    kind = "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "an irregular file"
    raise CommandError(f'invalid output path: "{target}" must be a directory or a regular file: got {kind}')


def check_destination(word: str, found: dict[str, Any] | None) -> None:
    """The same of a path in a container. Raises CommandError."""
    mode = found.get("mode", 0) if found else 0
    if mode & (GO_DEVICE | GO_IRREGULAR):
        kind = "a device" if mode & GO_DEVICE else "an irregular file"
        raise CommandError(f'destination "{word}" must be a directory or a regular file: got {kind}')


def extract(response: Response, target: str, *, is_dir: bool, contents: bool) -> int:
    """Unpack an archive whose root is the copied thing; the bytes of files that were written. Raises
    CommandError.
    """
    import tarfile

    directory, name = _local_place(target, is_dir=is_dir, contents=contents)
    root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    size = 0
    stream: Any = _Stream(response)
    late: list[tuple[list[str], TarInfo]] = []
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for info in archive:
                parts = _parts(info.name, name)
                if not parts:
                    continue
                size += _place(archive, info, parts, root_fd, name)
                if info.isdir():
                    late.append((parts, info))
        for parts, info in reversed(late):  # after their files, so that a read-only directory can be filled
            fd = _open_dir(root_fd, parts, make=False)
            os.fchmod(fd, info.mode & 0o7777)
            os.utime(fd, (info.mtime, info.mtime))
            os.close(fd)
    except (tarfile.TarError, OverflowError) as error:  # a time or a device that no system has
        raise CommandError(f"the container's archive is broken: {error}") from None
    except OSError as error:
        raise CommandError(f"{target}: {(error.strerror or str(error)).lower()}") from None
    finally:
        os.close(root_fd)
    return size


def _local_place(target: str, *, is_dir: bool, contents: bool) -> tuple[str, str]:
    """(existing directory, name of the root below it; empty keeps the archive's, `.` puts its contents
    there).
    """
    if os.path.isdir(target):
        return target, "." if contents else ""
    if os.path.lexists(target):
        if target.endswith("/"):
            raise CommandError("not a directory")
        if is_dir:
            raise CommandError("cannot copy directory")
    elif target.endswith("/") and not is_dir:
        raise CommandError("no such directory")
    parent = os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(parent):
        raise CommandError(f'invalid output path: directory "{parent}" does not exist')
    return parent, os.path.basename(os.path.abspath(target))


def _parts(name: str, root: str) -> list[str]:
    """The components below the target; `..` is refused."""
    parts = [part for part in name.split("/") if part and part != "."]
    if name.startswith("./") or name == ".":
        parts = ["", *parts]
    if ".." in parts:
        raise CommandError(f'the container\'s archive has a name outside of its directory: "{name}"')
    if not parts:
        return []
    if root == ".":
        return parts[1:]
    if root:
        return [root, *parts[1:]]
    return [part for part in parts if part]


def _open_dir(root_fd: int, parts: list[str], *, make: bool) -> int:
    """A descriptor of the directory; links on the way are refused (O_NOFOLLOW)."""
    fd = os.dup(root_fd)
    for part in parts:
        if make:
            try:
                os.mkdir(part, 0o755, dir_fd=fd)
            except FileExistsError:
                pass
        below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def _place(archive: Any, info: TarInfo, parts: list[str], root_fd: int, root: str) -> int:
    """Make one entry; how many bytes it has."""
    if info.isdir():
        os.close(_open_dir(root_fd, parts, make=True))
        return 0
    parent_fd = _open_dir(root_fd, parts[:-1], make=True)
    name = parts[-1]
    try:
        if not info.isdir():
            _remove_file(name, parent_fd)
        if info.issym():
            os.symlink(info.linkname, name, dir_fd=parent_fd)
        elif info.islnk():
            first = _parts(info.linkname, root)
            first_fd = _open_dir(root_fd, first[:-1], make=False)
            try:
                os.link(first[-1], name, src_dir_fd=first_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
            finally:
                os.close(first_fd)
        elif info.isreg():
            _write_file(archive.extractfile(info), info, name, parent_fd)
            return info.size
        elif info.isfifo():
            os.mkfifo(name, info.mode & 0o7777, dir_fd=parent_fd)
        elif info.isdev():
            kind = stat.S_IFCHR if info.ischr() else stat.S_IFBLK
            os.mknod(
                name, info.mode & 0o7777 | kind, os.makedev(info.devmajor, info.devminor), dir_fd=parent_fd
            )
        if not info.islnk():
            os.utime(name, (info.mtime, info.mtime), dir_fd=parent_fd, follow_symlinks=False)
    finally:
        os.close(parent_fd)
    return 0


def _remove_file(name: str, parent_fd: int) -> None:
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise CommandError(f'cannot overwrite directory "{name}" with non-directory') from None


def _write_file(content: Any, info: TarInfo, name: str, parent_fd: int) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent_fd)
    try:
        while data := content.read(_CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        os.fchmod(fd, info.mode & 0o7777)
        os.utime(fd, (info.mtime, info.mtime))
    finally:
        os.close(fd)


class _Stream:
    """The body of an answer as a file that tarfile reads."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size and (data := self._response.read_some()):
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]

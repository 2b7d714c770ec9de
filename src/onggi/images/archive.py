"""`docker cp`: the facts of a path in a container, an archive out of it, an archive into it.

    stat(root_fd, path)                   HEAD: the path itself, its last link not followed
    get(root_fd, path, stream)            GET: its tar; members are called after the path's last name
    put(root_fd, path, stream, ...)       PUT: unpack below a directory, its last link followed
A trailing "/" or "/." asks for the directory behind a link. `root_fd` is from images/view.py; every name
is opened with openat2(RESOLVE_IN_ROOT) below it (CVE-2018-15664, CVE-2019-14271).

The JSON of a path's facts has Go's os.FileMode, whose bits are not stat's.
"""

from __future__ import annotations

import base64
import errno
import os
import stat as modes
from datetime import UTC, datetime

import msgspec

from onggi.errors import Forbidden, InvalidParameter, NotFound
from onggi.images.apply import Applied, extract
from onggi.images.compression import decompress
from onggi.images.owners import Owners
from onggi.images.pack import Packed, pack, pack_one
from onggi.images.tree import PATH, RESOLVE, clean
from onggi.kernel.files import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.images.apply import Source
    from onggi.images.pack import Sink

MAX_LINKS = 255
READ_ONLY_ROOT = "container rootfs is marked read-only"
READ_ONLY_VOLUME = "mounted volume is marked read-only"

# Go's os.FileMode: type and set-id bits by stat's.
GO_TYPES = {
    modes.S_IFDIR: 1 << 31,
    modes.S_IFLNK: 1 << 27,
    modes.S_IFBLK: 1 << 26,
    modes.S_IFCHR: 1 << 26 | 1 << 21,
    modes.S_IFIFO: 1 << 25,
    modes.S_IFSOCK: 1 << 24,
}
GO_BITS = {modes.S_ISUID: 1 << 23, modes.S_ISGID: 1 << 22, modes.S_ISVTX: 1 << 20}


class PathStat(msgspec.Struct, frozen=True):
    """The facts of a path in a container; `mode` is Go's, `link_target` the place a link leads to."""

    name: str
    size: int
    mode: int
    mtime_ns: int
    link_target: str = ""

    def header(self) -> str:
        """X-Docker-Container-Path-Stat: base64 of JSON."""
        seconds, rest = divmod(self.mtime_ns, 1_000_000_000)
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fraction = f".{rest:09}".rstrip("0") if rest else ""
        document = {
            "name": self.name,
            "size": self.size,
            "mode": self.mode,
            "mtime": f"{text}{fraction}Z",
            "linkTarget": self.link_target,
        }
        return base64.b64encode(msgspec.json.encode(document)).decode()


def absolute(path: str) -> tuple[bytes, bool]:
    """The path from the container's root, cleaned as text, and whether it asks for what is behind a link."""
    raw = b"/" + os.fsencode(path)
    if b"\0" in raw:
        raise InvalidParameter("the path holds a NUL byte")
    return b"/" + clean(raw), raw.endswith((b"/", b"/."))


def base(path: str) -> bytes:
    """The last name of a path as Go's filepath.Base has it: "/" for the root, "." for a trailing dot."""
    whole, _ = absolute(path)
    if whole == b"/":
        return b"/"
    return b"." if path.endswith("/.") else whole.rpartition(b"/")[2]


def stat(root_fd: int, path: str, *, container: str) -> PathStat:
    """Raises NotFound with Docker's wording, InvalidParameter."""
    whole, behind = absolute(path)
    fd = _open(root_fd, path, container=container)
    try:
        facts = os.fstat(fd)
        target = ""
        if modes.S_ISLNK(facts.st_mode) and not behind:
            target = os.fsdecode(b"/" + follow(root_fd, whole))
    finally:
        os.close(fd)
    name = base(path).decode("utf-8", "replace")
    return PathStat(name, facts.st_size, go_mode(facts.st_mode), facts.st_mtime_ns, target)


def get(root_fd: int, path: str, stream: Sink, *, container: str, owners: Owners | None = None) -> Packed:
    """Write the archive of a path: a directory with all below it, or one member. Raises as stat()."""
    whole, _ = absolute(path)
    fd = _open(root_fd, path, container=container)
    try:
        if modes.S_ISDIR(os.fstat(fd).st_mode):
            return pack(fd, stream, under=base(path), owners=owners)
    finally:
        os.close(fd)
    directory, _, name = whole.rpartition(b"/")
    parent_fd = openat2(root_fd, directory or b".", PATH, resolve=RESOLVE)
    try:
        return pack_one(parent_fd, name, stream, under=base(path), owners=owners)
    finally:
        os.close(parent_fd)


def put(
    root_fd: int,
    path: str,
    stream: Source,
    *,
    container: str,
    read_only_root: bool = False,
    owner: tuple[int, int] | None = None,
    owners: Owners | None = None,
    no_overwrite_dir_non_dir: bool = False,
) -> Applied:
    """Unpack an archive, compressed or not, into a directory. What was unpacked before an error stays, as
    in Docker.

    Raises NotFound, InvalidParameter, Forbidden (a read-only root or volume), NoSpace, TooLarge.
    """
    whole, _ = absolute(path)
    try:
        fd = openat2(root_fd, whole, os.O_PATH, resolve=RESOLVE)
    except OSError as failure:
        raise _missing(failure, path, container) from None
    try:
        if not modes.S_ISDIR(os.fstat(fd).st_mode):
            raise InvalidParameter("extraction point is not a directory")
        _refuse_read_only(root_fd, fd, read_only_root=read_only_root)
    finally:
        os.close(fd)
    return extract(
        decompress(stream),
        root_fd,
        into=follow(root_fd, whole),
        owner=owner,
        owners=owners,
        no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
    )


def _refuse_read_only(root_fd: int, fd: int, *, read_only_root: bool) -> None:
    if _mount_id(fd) == _mount_id(root_fd):
        if read_only_root or os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            raise Forbidden(READ_ONLY_ROOT)
    elif os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        raise Forbidden(READ_ONLY_VOLUME)


def _mount_id(fd: int) -> bytes:
    """Which mount an open file is in: proc(5), /proc/PID/fdinfo."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        return next(line for line in file if line.startswith(b"mnt_id:"))


def go_mode(mode: int) -> int:
    """stat's mode in the bits of Go's os.FileMode."""
    bits = sum(go for posix, go in GO_BITS.items() if mode & posix)
    return mode & 0o777 | GO_TYPES.get(modes.S_IFMT(mode), 0) | bits


def follow(root_fd: int, path: bytes) -> bytes:
    """Where a path leads inside the root, all links followed, without a leading slash.

    Names that do not exist are kept, as the target of a dangling link has to be shown. Raises
    InvalidParameter for a loop. The answer is text: whoever opens it does so below the root again.
    """
    done: list[bytes] = []
    rest = [part for part in reversed(path.split(b"/")) if part]
    links = 0
    while rest:
        part = rest.pop()
        if part == b"..":
            del done[-1:]
            continue
        if part == b".":
            continue
        target = _link(root_fd, b"/".join([*done, part]))
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > MAX_LINKS:
            raise InvalidParameter(f"too many links in {os.fsdecode(path)}")
        if target.startswith(b"/"):
            done.clear()
        rest += [step for step in reversed(target.split(b"/")) if step]
    return b"/".join(done)


def _link(root_fd: int, path: bytes) -> bytes | None:
    """The text of a link; None for anything else and for nothing."""
    try:
        fd = openat2(root_fd, path, os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE)
    except OSError as failure:
        if failure.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    try:
        return os.readlink(b"", dir_fd=fd) if modes.S_ISLNK(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def _open(root_fd: int, path: str, *, container: str) -> int:
    whole, behind = absolute(path)
    flags = PATH if behind else os.O_PATH | os.O_NOFOLLOW
    try:
        return openat2(root_fd, whole, flags, resolve=RESOLVE)
    except OSError as failure:
        raise _missing(failure, path, container) from None


def _missing(failure: OSError, path: str, container: str) -> Exception:
    if failure.errno == errno.ENOENT:
        return NotFound(f"Could not find the file {path} in container {container}")
    return InvalidParameter(f"{path} in container {container}: {(failure.strerror or 'error').lower()}")

"""The build context of a request: its tar, unpacked below `build/`, and the Dockerfile that is in it.

The archive may be compressed. Its names stay below the directory whatever it says (images/apply.py), and the
Dockerfile is read below it too, so that a link to /etc/shadow leads nowhere (CVE-2018-15664's kind). What
.dockerignore excludes was left out by the client; the two files that it sends in spite of that are taken
away here, as dockerd does it.
"""

from __future__ import annotations

import os
import stat

from onggi.builder.dockerfile.tree import SIZE_MAX
from onggi.errors import InvalidParameter, NotFound
from onggi.images.apply import extract
from onggi.images.archive import follow
from onggi.images.compression import decompress, detect
from onggi.images.tar.entry import BLOCK
from onggi.images.tree import RESOLVE
from onggi.kernel.files import openat2
from onggi.spec import dockerignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.images.apply import Source

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
IGNORE = ".dockerignore"
IGNORE_MAX = 1 << 20


def receive(stream: Source, path: str) -> None:
    """Unpack a request's body into an empty directory. Blocking. Raises BadArchive, NoSpace, TooLarge."""
    fd = os.open(path, DIRECTORY)
    try:
        extract(decompress(stream), fd)
    finally:
        os.close(fd)


def receive_file(source: str, path: str) -> None:
    """The same out of a file that was downloaded; one that is no archive is the Dockerfile. Blocking."""
    with open(source, "rb") as file:
        head = file.read(BLOCK)
        file.seek(0)
        if detect(head) != "plain" or head[257:262] == b"ustar":
            receive(file, path)
            return
        data = file.read(SIZE_MAX + 1)
    with open(f"{path}/Dockerfile", "xb") as made:
        made.write(data)


def dockerfile(path: str, name: str) -> tuple[str, bytes]:
    """The Dockerfile's name and text; without a name it may be written small. Blocking.

    Raises NotFound, InvalidParameter.
    """
    fd = os.open(path, DIRECTORY)
    try:
        for tried in (name,) if name else ("Dockerfile", "dockerfile"):
            data = read_below(fd, tried, SIZE_MAX)
            if data is not None:
                _ignore(fd, tried)
                return tried, data
    finally:
        os.close(fd)
    raise NotFound(f"Cannot locate specified Dockerfile: {name or 'Dockerfile'}")


def read(path: str, name: str, limit: int) -> bytes | None:
    """A file below a directory; None where there is none. Blocking. Raises InvalidParameter."""
    fd = os.open(path, DIRECTORY)
    try:
        return read_below(fd, name, limit)
    finally:
        os.close(fd)


def read_below(root_fd: int, name: str, limit: int) -> bytes | None:
    """The same below a descriptor."""
    path = follow(root_fd, os.fsencode(name.strip("/")))
    try:
        fd = openat2(root_fd, path or b".", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, resolve=RESOLVE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidParameter(f"{name}: not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InvalidParameter(f"{name}: more than {limit} bytes")
    return data


def _ignore(root_fd: int, dockerfile: str) -> None:
    """Take away the Dockerfile and .dockerignore where the latter says so."""
    own = f"{dockerfile}{IGNORE}"
    data = read_below(root_fd, own, IGNORE_MAX)
    if data is None:
        data = read_below(root_fd, IGNORE, IGNORE_MAX)
    if data is None:
        return
    matcher = dockerignore.Matcher(dockerignore.read(data))
    for name in (IGNORE, own, dockerfile):
        if matcher.excludes(name) and read_below(root_fd, name, SIZE_MAX) is not None:
            path = follow(root_fd, os.fsencode(name.strip("/")))
            directory, _, last = path.rpartition(b"/")
            parent = openat2(root_fd, directory or b".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE)
            try:
                os.unlink(last, dir_fd=parent)
            finally:
                os.close(parent)

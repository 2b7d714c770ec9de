"""A layer's tree against its packed blob: the members of the archive, one after the other, against the files.

Compared are kinds, sizes, contents, link targets and device numbers, and that the tree holds nothing that the
archive does not bring. Owners, modes and times are not: a file system may be without some of them.
The tree is read below its descriptor (openat2, RESOLVE_IN_ROOT). Only for overlay's trees, where a layer lies
by itself.
"""

from __future__ import annotations

import os
import stat

from onggi.images import whiteouts
from onggi.images.compression import decompress
from onggi.images.images import Images
from onggi.images.tar.entry import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    Entry,
    shown,
)
from onggi.images.tar.reader import Reader
from onggi.images.tree import OPEN_DIR, RESOLVE, clean
from onggi.kernel.files import openat2

NODES = {FIFO: stat.S_IFIFO, CHAR: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MEMBERS_MAX = 2_000_000  # remembered by name; a larger layer is compared without looking for strangers


def difference(images: Images, blob: str, tree: str) -> str:
    """The first difference in words, empty where there is none. Raises Corrupt, BadArchive, OSError."""
    root_fd = os.open(tree, OPEN_DIR)
    try:
        with images.blobs.open(blob) as file:
            return _Comparison(root_fd).run(Reader(decompress(file)))
    finally:
        os.close(root_fd)


class _Comparison:
    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._wrong: dict[bytes, str] = {}
        self._known: set[bytes] | None = {b""}

    def run(self, reader: Reader) -> str:
        """A later member of the same name takes back what was said of an earlier one."""
        while (entry := reader.next()) is not None:
            path = clean(entry.name)
            name = path.rpartition(b"/")[2]
            if name.startswith(whiteouts.PREFIX):
                self._whiteout(path, name)
                continue
            self._know(path)
            if entry.kind != DIRECTORY:
                for below in [known for known in self._wrong if known.startswith(path + b"/")]:
                    del self._wrong[below]
            said = self._member(path, entry, reader)
            self._wrong.pop(path, None)
            if said:
                self._wrong[path] = said
        for path, said in self._wrong.items():
            return f"/{shown(path)} {said}"
        return self._stranger()

    def _know(self, path: bytes) -> None:
        known = self._known
        if known is None:
            return
        while path not in known:
            known.add(path)
            path = path.rpartition(b"/")[0]
        if len(known) > MEMBERS_MAX:
            self._known = None

    def _whiteout(self, path: bytes, name: bytes) -> None:
        if name.startswith(whiteouts.META):
            self._know(path.rpartition(b"/")[0])
            return
        self._know(path[: -len(name)] + whiteouts.hidden(name))

    def _member(self, path: bytes, entry: Entry, reader: Reader) -> str:
        if entry.kind == DIRECTORY and not path:
            return ""
        try:
            fd = openat2(self._root_fd, path, os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE)
        except OSError:
            return "is missing from the tree"
        try:
            facts = os.fstat(fd)
            if entry.kind == REGULAR:
                return self._file(path, facts, entry, reader)
            if entry.kind == SYMLINK:
                right = stat.S_ISLNK(facts.st_mode) and os.readlink(b"", dir_fd=fd) == entry.linkname
                return "" if right else f"is no link to {shown(entry.linkname)}"
            if entry.kind == DIRECTORY:
                return "" if stat.S_ISDIR(facts.st_mode) else "is no directory"
            if entry.kind == HARD_LINK:
                return self._hard_link(facts, entry)
            return "" if _is_node(facts, entry) else "is another kind of file"
        finally:
            os.close(fd)

    def _file(self, path: bytes, facts: os.stat_result, entry: Entry, reader: Reader) -> str:
        if not stat.S_ISREG(facts.st_mode):
            return "is no plain file"
        if facts.st_size != entry.size:
            return f"has {facts.st_size} bytes, not {entry.size}"
        if entry.sparse is not None or not entry.size:
            return ""
        fd = openat2(self._root_fd, path, READ, resolve=RESOLVE)
        with os.fdopen(fd, "rb", buffering=0) as file:
            while piece := reader.piece():
                if file.read(len(piece)) != piece:
                    return "has other content"
        return ""

    def _hard_link(self, facts: os.stat_result, entry: Entry) -> str:
        try:
            fd = openat2(self._root_fd, clean(entry.linkname), os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE)
        except OSError:
            return ""  # the name that it was linked to was replaced by the layer itself
        try:
            other = os.fstat(fd)
        finally:
            os.close(fd)
        same = (facts.st_dev, facts.st_ino) == (other.st_dev, other.st_ino)
        return "" if same else f"is no hard link to {shown(entry.linkname)}"

    def _stranger(self) -> str:
        """Something in the tree that no member brought."""
        known = self._known
        pending = [b""] if known is not None else []
        while pending:
            directory = pending.pop()
            fd = openat2(self._root_fd, directory or b".", OPEN_DIR, resolve=RESOLVE)
            try:
                with os.scandir(fd) as entries:
                    listed = [(os.fsencode(e.name), e.is_dir(follow_symlinks=False)) for e in entries]
            finally:
                os.close(fd)
            for name, is_dir in listed:
                if name.startswith(whiteouts.PREFIX):
                    continue
                path = directory + b"/" + name if directory else name
                if known is not None and path not in known:
                    return f"/{shown(path)} is not in the layer"
                if is_dir:
                    pending.append(path)
        return ""


def _is_node(facts: os.stat_result, entry: Entry) -> bool:
    if stat.S_IFMT(facts.st_mode) != NODES[entry.kind]:
        return False
    return entry.kind == FIFO or (os.major(facts.st_rdev), os.minor(facts.st_rdev)) == (
        entry.major,
        entry.minor,
    )

"""The digest of what a copy would take: names, kinds, modes, owners, attributes and bytes; never times.

Two equal digests are two equal copies, so a step is not run again for a file that was only touched, checked
out anew or packed by another client. What an action sets itself (owner, mode) is left out: it is in the
step's definition. The digest of a file's bytes is kept by inode, size and times, for as long as these stay.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading

import msgspec

from onggi.builder.executors import select
from onggi.builder.executors.select import Filters, Found
from onggi.builder.graph import CopyAction
from onggi.images.pack import READ, read_xattrs
from onggi.images.tree import descriptor_path

READ_BYTES = 1 << 20
NO_BYTES = hashlib.sha256().digest()


class Digests:
    """Digests of the files of one folder, by path, as long as inode, size and times are the same.

    `selections`: of what actions take, by the action, as long as nobody changes the folder. With a
    `directory` both are kept there.
    """

    def __init__(self, directory: str = "") -> None:
        self._directory = directory
        self._files: dict[bytes, tuple[int, int, int, int, bytes]] = {}
        self.selections: dict[str, str] = {}
        self._lock = threading.Lock()
        self._changed = False
        self._saved = 0

    @classmethod
    def kept(cls, directory: str) -> Digests:
        """As save() left them; of bytes that are not ours, nothing is known."""
        found = cls(directory)
        try:
            files = msgspec.msgpack.decode(read(f"{directory}/digests"), type=_FILES)
            found._files = dict(files)
            found.selections = msgspec.msgpack.decode(read(f"{directory}/selections"), type=dict[str, str])
        except msgspec.DecodeError:
            pass  # a new one has no such files
        found._saved = len(found.selections)
        return found

    def of(self, found: Found, path: bytes) -> bytes:
        """The SHA-256 of a regular file's bytes. Raises OSError."""
        facts = found.facts
        if not facts.st_size:
            return NO_BYTES
        stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        known = self._files.get(path)
        if known is not None and known[:4] == stamp:
            return known[4]
        digest = _hash(found)
        with self._lock:
            self._files[path] = (*stamp, digest)
            self._changed = True
        return digest

    def save(self) -> None:
        """Keep what is new."""
        if not self._directory:
            return
        with self._lock:
            if self._changed:
                replace(f"{self._directory}/digests", msgspec.msgpack.encode(list(self._files.items())))
            if self._saved != len(self.selections):
                replace(f"{self._directory}/selections", msgspec.msgpack.encode(self.selections))
            self._changed, self._saved = False, len(self.selections)


_FILES = list[tuple[bytes, tuple[int, int, int, int, bytes]]]


def read(path: str) -> bytes:
    """Of a file that is not there, nothing."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def replace(path: str, data: bytes) -> None:
    """A file anew, without waiting for the disk: its reader knows of which boot it is."""
    with open(f"{path}.new", "wb") as file:
        file.write(data)
    os.rename(f"{path}.new", path)


def _hash(found: Found) -> bytes:
    fd = os.open(found.name, READ, dir_fd=found.dir_fd)
    try:
        digest = hashlib.sha256()
        while data := os.read(fd, READ_BYTES):
            digest.update(data)
        return digest.digest()
    finally:
        os.close(fd)


def selection(root_fd: int, action: CopyAction, digests: Digests | None = None) -> str:
    """The digest of everything that `action` takes from a tree. Raises SourceMissing, OSError."""
    whole = hashlib.sha256(b"selection 1\0")
    filters = Filters(action)
    for source in select.sources(root_fd, action):
        named = b"" if source.is_dir and action.contents_only else source.name
        whole.update(b"source %d %s\0" % (len(named), named))
        for found in select.walk(root_fd, source, filters):
            whole.update(_line(found, source.path, action, digests))
    return "sha256:" + whole.hexdigest()


def _line(found: Found, above: bytes, action: CopyAction, digests: Digests | None) -> bytes:
    """One entry as bytes; each part carries its length, so that no two entries look alike."""
    facts = found.facts
    kind = stat.S_IFMT(facts.st_mode)
    link = kind == stat.S_IFLNK
    parts = [found.path, b"%o" % kind]
    if not action.mode and not link:
        parts.append(b"mode %o" % stat.S_IMODE(facts.st_mode))
    if action.owner is None:
        parts.append(b"owner %d %d" % (facts.st_uid, facts.st_gid))
    if link:
        parts.append(os.readlink(found.name, dir_fd=found.dir_fd))
    elif kind == stat.S_IFREG:
        path = b"/".join(filter(None, (above, found.path)))
        parts.append(digests.of(found, path) if digests is not None else _hash(found))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        parts.append(b"device %d" % facts.st_rdev)
    xattrs = read_xattrs(descriptor_path(found.dir_fd, found.name), follow=False)
    for name, value in xattrs.items():
        parts += [name, value]
    return b"".join(b"%d:%s" % (len(part), part) for part in parts) + b"\n"

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
    """Digests of the files of one folder, by path, as long as inode, size and times are the same."""

    def __init__(self, known: dict[bytes, tuple[int, int, int, int, bytes]] | None = None) -> None:
        self._known = known or {}
        self._lock = threading.Lock()
        self.changed = False

    def of(self, found: Found, path: bytes) -> bytes:
        """The SHA-256 of a regular file's bytes. Raises OSError."""
        facts = found.facts
        if not facts.st_size:
            return NO_BYTES
        stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        known = self._known.get(path)
        if known is not None and known[:4] == stamp:
            return known[4]
        digest = _hash(found)
        with self._lock:
            self._known[path] = (*stamp, digest)
            self.changed = True
        return digest

    def encode(self) -> bytes:
        with self._lock:
            return msgspec.msgpack.encode(list(self._known.items()))

    @classmethod
    def decode(cls, data: bytes) -> Digests:
        """Of bytes that are not ours, nothing is known."""
        try:
            items = msgspec.msgpack.decode(data, type=list[tuple[bytes, tuple[int, int, int, int, bytes]]])
        except msgspec.DecodeError:
            return cls()
        return cls(dict(items))


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


def tree(root_fd: int, path: bytes, digests: Digests | None = None) -> str:
    """The digest of a file or directory as a mount shows it: owners, modes and all. Raises as selection()."""
    action = CopyAction(
        from_input=0, source=os.fsdecode(path), target="/", wildcard=False, contents_only=True
    )
    return selection(root_fd, action, digests)


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

"""Results as plain files: the tree of each platform, with the statements about it beside its files.

    made/                     one platform                made/linux_amd64/            several
        ...                                                   ...
        provenance.json       in-toto statements              provenance.json
        sbom.spdx.json                                    made/linux_arm64/ ...

A statement's subjects are all regular files of the tree. Its file takes the place of one of the tree's that
is called so. Source: BuildKit docs/attestations/attestation-storage.md, exporter/local.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.images.pack import READ, READ_BYTES, Packer
from onggi.images.tree import OPEN_DIR, RESOLVE
from onggi.kernel.files import openat2

if TYPE_CHECKING:
    from onggi.builder.outputs.archive import Sink

MODE = 0o600  # of statements


class Tree(msgspec.Struct, frozen=True):
    """`prefix` is the directory that it goes into, `statements` are by name; every time in it is `at_ns`,
    where that is given (SOURCE_DATE_EPOCH).
    """

    root_fd: int
    prefix: str = ""
    statements: dict[str, bytes] = {}
    at_ns: int | None = None


def named(name: str, prefix: str, platform: str, *, split: bool) -> str:
    """A statement's file: where platforms share a directory, it says which it is of."""
    if split:
        return prefix + name
    stem, extension = os.path.splitext(name)
    return f"{prefix}{stem}.{platform.replace('/', '_')}{extension}"


def subjects(root_fd: int) -> list[dict[str, Any]]:
    """Every regular file, by path, with its digest. Blocking."""
    found: list[dict[str, Any]] = []
    todo = [b""]
    while todo:
        path = todo.pop()
        fd = openat2(root_fd, path or b".", OPEN_DIR, resolve=RESOLVE)
        try:
            for name in map(os.fsencode, os.listdir(fd)):
                mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
                below = path + b"/" + name if path else name
                if stat.S_ISDIR(mode):
                    todo.append(below)
                elif stat.S_ISREG(mode):
                    shown = below.decode("utf-8", "replace")
                    found.append({"name": shown, "digest": {"sha256": _hash(fd, name)}})
        finally:
            os.close(fd)
    return sorted(found, key=lambda one: str(one["name"]))


def _hash(dir_fd: int, name: bytes) -> str:
    hashed = hashlib.sha256()
    fd = os.open(name, READ, dir_fd=dir_fd)
    try:
        while data := os.read(fd, READ_BYTES):
            hashed.update(data)
    finally:
        os.close(fd)
    return hashed.hexdigest()


def pack(trees: list[Tree], sink: Sink) -> None:
    """As one archive. Blocking. Raises OSError, System."""
    packer = Packer(sink)
    for tree in sorted(trees, key=lambda one: one.prefix):
        packer.below(tree.prefix.encode(), at_ns=tree.at_ns)
        top = os.open(".", OPEN_DIR, dir_fd=tree.root_fd)
        try:
            if tree.prefix:
                packer.add_root(top)
            packer.walk(top, without=frozenset(map(os.fsencode, tree.statements)))
        except BaseException:
            os.close(top)
            raise
        for name, data in sorted(tree.statements.items()):
            packer.add_data(name.encode(), data, mode=MODE)
    packer.finish()

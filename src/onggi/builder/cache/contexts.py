"""Directories of clients, kept from build to build: what did not change is neither sent nor hashed again.

    build/context-NAME/
        fs/           the tree, as the last transfer left it
        listing       the boot in which that was, and what the client said of the tree (each door's own form)
        digests       of the bytes of its files, by inode, size and times
        selections    of what steps copied of it; these hold until the next transfer

A directory belongs to one build at a time. Nothing here is synced: after a switch-off the boot is another
one, and the tree begins anew. While a transfer changes it there is no listing, and the record is `making`, so
that the next engine removes what a crash has left.
"""

from __future__ import annotations

import contextlib
import os

from onggi.builder.cache import content
from onggi.builder.cache.cache import LOCAL, Cache, Tree
from onggi.builder.cache.content import Digests
from onggi.builder.solver.results import Folder
from onggi.store import build_cache as rows


class Context:
    """One of them. Blocking. Whoever took it releases its record."""

    def __init__(self, cache: Cache, tree: Tree) -> None:
        self._cache = cache
        self._tree = tree
        self.record_id = tree.record_id
        self.path = f"{tree.path}/fs"
        said = content.read(f"{tree.path}/listing")
        boot, _, self.listing = said.partition(b"\n")
        if boot != cache.boot.encode():
            self.begin()
            self.empty()

    @classmethod
    def take(cls, cache: Cache, name: str) -> Context:
        """The directory of that name, or another one where a build is at it. `listing` is as leave() was
        given it, empty where nobody knows what is in the tree.
        """
        return cls(cache, cache.own_tree(LOCAL, f"context-{name}"))

    def digests(self) -> Digests:
        """What is known of its files."""
        return Digests.kept(self._tree.path)

    def folder(self, below: str = "") -> Folder:
        return Folder(f"{self.path}/{below}" if below else self.path, self.record_id)

    def empty(self) -> None:
        """Throw away what is in the tree. Within begin() and leave()."""
        if os.path.isdir(self.path):
            self._cache.throw(self.path)
        os.mkdir(self.path, 0o755)

    def begin(self) -> None:
        """A transfer changes it from now on."""
        self.listing = b""
        rows.reopen(self._cache.database, self.record_id, self._cache.boot)
        for name in ("listing", "selections"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._tree.path}/{name}")

    def leave(self, name: str, listing: bytes = b"") -> None:
        """The transfer has ended; with a listing it is whole."""
        self.listing = listing
        content.replace(f"{self._tree.path}/listing", self._cache.boot.encode() + b"\n" + listing)
        self._cache.finish(self.record_id, size=0, description=f"local source for {name}")
        self._cache.measure(self._tree)

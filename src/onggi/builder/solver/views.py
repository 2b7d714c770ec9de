"""Trees as descriptors: a result's root, for looking into it and copying out of it, kept while a build runs.

A Stack is seen through a detached overlay mount (images/view.py), so nothing is mounted in the host's tree.
Every name below a root is opened with openat2(RESOLVE_IN_ROOT).
"""

from __future__ import annotations

import os
import threading

from onggi.builder.cache.content import Digests
from onggi.builder.solver.results import Folder, Result
from onggi.images import view
from onggi.images.snapshots.protocol import Snapshots

DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Views:
    """Roots by what they show; a context manager. Its methods block and may be called from several
    threads. `selections` outlives it: digests of parts of trees that never change.
    """

    def __init__(self, snapshots: Snapshots, selections: dict[str, str]) -> None:
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._roots: dict[str, int] = {}
        self._digests: dict[str, Digests] = {}
        self.selections = selections

    def __enter__(self) -> Views:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def root(self, result: Result) -> int:
        """A descriptor (O_PATH) of the tree's root, this object's own. Raises OSError, NotFound."""
        key = result.path if isinstance(result, Folder) else f"sha:{result.top}"
        with self._lock:
            found = self._roots.get(key)
            if found is None:
                found = self._roots[key] = self._open(result)
            return found

    def _open(self, result: Result) -> int:
        if isinstance(result, Folder):
            return os.open(result.path, DIRECTORY | os.O_NOFOLLOW)
        return view.open_root(self._snapshots.view(result.top))

    def digests(self, result: Result) -> Digests | None:
        """What is known of a folder's files, each hashed once."""
        if not isinstance(result, Folder):
            return None
        with self._lock:
            return self._digests.setdefault(result.path, Digests())

    def adopt(self, folder: Folder, digests: Digests) -> None:
        """What was known before of a folder that is kept between builds."""
        with self._lock:
            self._digests[folder.path] = digests

    def save(self) -> None:
        """Keep what was learned of folders that are kept."""
        with self._lock:
            known = list(self._digests.values())
        for digests in known:
            digests.save()

    def selected(self, result: Result) -> dict[str, str]:
        """Digests of parts of this tree, as long as nobody changes it: layers never change."""
        digests = self.digests(result)
        return self.selections if digests is None else digests.selections

    def close(self) -> None:
        with self._lock:
            for fd in self._roots.values():
                os.close(fd)
            self._roots.clear()

"""What a vertex's output is: a stack of layers, or a folder on this host. Both are trees that nobody changes.

    Stack    committed snapshots by chain id; what processes and file actions make, and images
    Folder   a plain directory below build/: a context, a checkout, a download; read where it lies

A Folder becomes a Stack only where something has to stand on it (executors/files.py copies it then).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from onggi.store.images import LayerRow


class Stack(msgspec.Struct, frozen=True):
    """Layers, bottom first; none is the empty tree."""

    layers: tuple[LayerRow, ...] = ()

    @property
    def top(self) -> str:
        """The chain id of its uppermost layer, "" for the empty tree."""
        return self.layers[-1].chain_id if self.layers else ""

    def on(self, layer: LayerRow) -> Stack:
        return Stack((*self.layers, layer))


class Folder(msgspec.Struct, frozen=True):
    """`path` is a host path, `record_id` the cache record that owns it. `version`, where it is not empty,
    names
    its whole content: equal versions are equal trees.
    """

    path: str
    record_id: str = ""
    version: str = ""


Result: TypeAlias = Stack | Folder

EMPTY = Stack()

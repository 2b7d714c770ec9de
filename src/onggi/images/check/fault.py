"""One fault of the store, as a value: what it is, and what would mend it.

    kind      one word that scripts go by: blob-corrupt, layer-lost, volume-unowned, ...
    object    the name of what is at fault
    said      the fault in words
    size      bytes that the object has on disk, or would have
    remedy    what `mend` does, in words; empty where nothing here can mend it: then `said` tells what will

`mend` looks again before it touches anything, since the engine works on meanwhile, and raises where it
cannot. It never deletes what something refers to.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """See above."""

    kind: str
    object: str
    said: str
    size: int = 0
    remedy: str = ""
    mend: Callable[[], None] | None = None


class Checked(msgspec.Struct):
    """What was looked at: how many of each, and the bytes that were read."""

    blobs: int = 0
    images: int = 0
    layers: int = 0
    snapshots: int = 0
    containers: int = 0
    volumes: int = 0
    networks: int = 0
    secrets: int = 0
    bytes_read: int = 0

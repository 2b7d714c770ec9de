"""What a running build tells: the solver emits, both doors translate (the classic stream, BuildKit's
Status, the log).

Times are nanoseconds since 1970. A vertex is announced (all None) before it runs; each change is a new
event with the same digest. Nothing here holds a secret: logs pass through as the process wrote them.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

from onggi.builder.graph import Vertex, Warning_


class VertexState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one vertex is. `error` is "" for success; a cancelled vertex has an error that starts
    "context canceled".
    """

    vertex: Vertex
    started: int | None = None
    completed: int | None = None
    cached: bool = False
    error: str = ""


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """The cache has nothing for a vertex: its work begins now."""

    vertex: str
    at: int


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A thing with a length inside a vertex: a layer being pulled, a context being sent, a layer being
    exported. `total` 0: not known.
    """

    vertex: str
    id: str
    name: str = ""
    current: int = 0
    total: int = 0
    at: int
    started: int | None = None
    completed: int | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a step wrote; stream 1 is standard output, 2 standard error."""

    vertex: str
    stream: int
    data: bytes
    at: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A step has failed, and is kept as a record of the cache (cache/failed.py)."""

    vertex: str
    record_id: str
    at: int


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """A build check's finding, or a step's (then `vertex` names it)."""

    warning: Warning_
    vertex: str = ""


Event: TypeAlias = VertexState | Began | Transfer | Output | Kept | Warned


class Progress(Protocol):
    """Takes events in order; never blocks and never raises (a client that is gone is found elsewhere)."""

    def __call__(self, event: Event) -> None: ...

"""Vertices before their digests: the paths that a local source has to send are known when all is planned.

    Draft(op, inputs) --settle--> Vertex(digest)         Out(draft, output number) --settle--> Ref

A Draft is made once for each instruction and compared by identity.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from onggi.builder.graph import Graph, LocalSource, Meta, Op, Ref, vertex
from onggi.spec.platform import Platform


class Draft:
    """An op with its inputs, each an Out. `out()` names an output."""

    __slots__ = ("inputs", "meta", "op", "platform")

    def __init__(self, op: Op, inputs: Iterable[Out], platform: Platform, meta: Meta) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.platform = platform
        self.meta = meta

    def out(self, number: int = 0) -> Drafted:
        return Drafted(self, number)

    def final(self) -> Op:
        return self.op


class LocalDraft(Draft):
    """A directory of the client's: `need(path)` while planning; only what was needed is sent."""

    __slots__ = ("_paths",)

    def __init__(self, op: LocalSource, platform: Platform, meta: Meta) -> None:
        super().__init__(op, (), platform, meta)
        self._paths: set[str] = set()

    def need(self, path: str) -> None:
        self._paths.add(posixpath.normpath("/" + path).lstrip("/"))

    def final(self) -> Op:
        assert isinstance(self.op, LocalSource)
        follow = () if not self._paths or "" in self._paths else tuple(sorted(self._paths))
        return msgspec.structs.replace(self.op, follow=follow)


class Drafted:
    """One output of a draft."""

    __slots__ = ("draft", "number")

    def __init__(self, draft: Draft, number: int) -> None:
        self.draft = draft
        self.number = number


class Known:
    """An output that has its digest: of a graph that came with a named context."""

    __slots__ = ("graph", "ref")

    def __init__(self, graph: Graph, ref: Ref) -> None:
        self.graph = graph
        self.ref = ref


Out: TypeAlias = Drafted | Known


class Settler:
    """Turns drafts into vertices of one graph, inputs first, without recursion: a chain may be very long."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._settled: dict[int, Draft] = {}
        self._digests: dict[int, str] = {}

    def ref(self, out: Out | None) -> Ref | None:
        if out is None:
            return None
        if isinstance(out, Known):
            for one in out.graph.needed(out.ref):
                self.graph.add(one)
            return out.ref
        todo = [out.draft]
        while todo:
            draft = todo[-1]
            if id(draft) in self._digests:
                todo.pop()
                continue
            missing = [
                one.draft
                for one in draft.inputs
                if isinstance(one, Drafted) and id(one.draft) not in self._digests
            ]
            if missing:
                todo += missing
                continue
            todo.pop()
            self._settle(draft)
        return Ref(self._digests[id(out.draft)], out.number)

    def _settle(self, draft: Draft) -> None:
        inputs = [self._input(one) for one in draft.inputs]
        made = self.graph.add(vertex(draft.final(), inputs, draft.platform, draft.meta))
        self._digests[id(draft)] = made.vertex
        self._settled[id(draft)] = draft  # keeps the object, and with it its id

    def _input(self, out: Out) -> Ref:
        if isinstance(out, Drafted):
            return Ref(self._digests[id(out.draft)], out.number)
        ref = self.ref(out)
        assert ref is not None
        return ref

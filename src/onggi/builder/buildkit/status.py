"""A build's events as the messages of Control.Status.

Events wait here until somebody listens. A process is stopped while a listener has not taken WAITING_MAX bytes
of output; without a listener what is more than that is dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

from onggi.builder.buildkit.history.recording import Recording
from onggi.builder.buildkit.messages import kind, timestamp
from onggi.builder.graph import Warning_
from onggi.builder.progress import Began, Event, Kept, Output, Transfer, VertexState, Warned

WAITING_MAX = 2 << 20
KEPT = "onggi: the step is kept: onggi builder shell {0}, onggi builder rerun {0}\n"


class Teller:
    """Takes events (progress.Progress), gives messages. For the event loop's thread.

    `record` gets everything too: the first listener hears of the build as it goes, any other from the record.
    """

    def __init__(self) -> None:
        self.record: Recording | None = None
        self._taken = False
        self._waiting: list[tuple[str, Any]] = []
        self._bytes = 0
        self._listening = False
        self._ended = False
        self._news = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    def __call__(self, event: Event) -> None:
        match event:
            case VertexState():
                inputs = [ref.vertex for ref in event.vertex.inputs if ref is not None]
                self._vertex(
                    event.vertex.digest, event.vertex.meta.name, inputs=inputs, cached=event.cached,
                    started=event.started, completed=event.completed, error=event.error,
                )  # fmt: skip
            case Transfer():
                self._add("statuses", kind("VertexStatus")(
                    ID=event.id, vertex=event.vertex, name=event.name, current=event.current,
                    total=event.total, timestamp=timestamp(event.at), started=timestamp(event.started),
                    completed=timestamp(event.completed),
                ))  # fmt: skip
            case Output():
                self._log(event.vertex, event.stream, event.data, event.at)
            case Kept():
                self._log(event.vertex, 2, KEPT.format(event.record_id).encode(), event.at)
            case Warned():
                self.warn(event.warning, event.vertex)
            case Began():
                pass  # a vertex has started already

    def _vertex(
        self, digest: str, name: str, *, inputs: list[str] | None = None, cached: bool = False,
        started: int | None = None, completed: int | None = None, error: str = "",
    ) -> None:  # fmt: skip
        self._add("vertexes", kind("Vertex")(
            digest=digest, inputs=inputs, name=name, cached=cached, started=timestamp(started),
            completed=timestamp(completed), error=error,
        ))  # fmt: skip

    def _log(self, vertex: str, stream: int, data: bytes, at: int) -> None:
        if not self._listening and self._bytes > WAITING_MAX:
            return
        self._bytes += len(data)
        if self._bytes > WAITING_MAX and self._listening:
            self._drained.clear()
        message = kind("VertexLog")(vertex=vertex, timestamp=timestamp(at), stream=stream, msg=data)
        self._add("logs", message)

    def warn(self, warning: Warning_, vertex: str) -> None:
        short = f"{warning.rule}: {warning.detail} (line {warning.location.start})"
        self._add("warnings", kind("VertexWarning")(
            vertex=vertex, level=1, short=short.encode(), detail=[warning.description.encode()],
            url=warning.url,
        ))  # fmt: skip

    def work(self, name: str) -> Work:
        """A piece of work that is no vertex of the graph, told as one: `with teller.work("...")`."""
        return Work(self, name)

    def _add(self, field: str, message: Any) -> None:
        self._waiting.append((field, message))
        if self.record is not None:
            self.record.add(field, message)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._drained.set()
        self._news.set()

    async def room(self) -> None:
        """Wait until the listener has taken what there is."""
        await self._drained.wait()

    @property
    def taken(self) -> bool:
        """Whether somebody listens, or has listened."""
        return self._taken

    async def messages(self) -> Any:
        """StatusResponses until the build's end. For one listener."""
        self._listening = self._taken = True
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                waiting, self._waiting, self._bytes = self._waiting, [], 0
                message = kind("StatusResponse")()
                for field, one in waiting:
                    getattr(message, field).append(one)
                if waiting:
                    yield message
                self._drained.set()
                if self._ended and not self._waiting:
                    return
        finally:
            self._listening = False
            self._drained.set()


class Work:
    """Told from its start to its end, with what fails it."""

    def __init__(self, teller: Teller, name: str) -> None:
        self._teller = teller
        self._name = name
        self._digest = "sha256:" + hashlib.sha256(f"{name} {time.time_ns()}".encode()).hexdigest()
        self._started = 0

    def __enter__(self) -> Work:
        self._started = time.time_ns()
        self._teller._vertex(self._digest, self._name, started=self._started)
        return self

    def step(self, name: str, started: int) -> None:
        """A part of it that is done."""
        now = time.time_ns()
        self._teller(Transfer(
            vertex=self._digest, id=name, name=name, at=now, started=started, completed=now
        ))  # fmt: skip

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._teller._vertex(
            self._digest, self._name, started=self._started, completed=time.time_ns(),
            error="" if error is None else str(error) or "context canceled",
        )  # fmt: skip

"""One build while it runs: who asked for it, what it may do, what it holds on to until its end.

A Job pins every layer and blob that it relies on (images/collect.py leaves those alone), keeps the roots of
trees that it looks into open, and marks the cache records that it uses. `close()` lets go of all of it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.entitlements import Entitlements
from onggi.builder.progress import Event, Output, Progress, Transfer
from onggi.builder.solver.results import Folder, Result, Stack
from onggi.builder.solver.views import Views
from onggi.wire.containers import HostConfig

if TYPE_CHECKING:
    from onggi.builder.builder import Builder
    from onggi.builder.client import BuildClient
    from onggi.builder.executors.made import Made
    from onggi.builder.graph import Vertex
    from onggi.builder.remote.history import Lines
    from onggi.builder.remote.importing import Imported
    from onggi.engine.engine import Engine
    from onggi.images.images import Image


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the request says of every process of the build, beside the Dockerfile.

    `limits` is the classic API's: memory, CPU, cgroup parent, ulimits, security options. `network` takes the
    place of the default one: a network's name, `container:ID`, host, none. `entitlements` are what steps may
    ask for.
    """

    limits: HostConfig = HostConfig()
    network: str = ""
    entitlements: Entitlements = Entitlements()


class Failure(msgspec.Struct, frozen=True):
    """The vertex that ended the build."""

    vertex: Vertex
    error: BaseException


class Shared:
    """A step that runs, for every build that came to its key meanwhile; the first of `jobs` runs it."""

    def __init__(self, done: asyncio.Future[Made], jobs: list[Job]) -> None:
        self.done = done
        self.jobs = jobs


class Job:
    """One build. Made by Builder.begin; for the event loop's thread, but `pin`, `views` and `cancelled`."""

    def __init__(
        self,
        builder: Builder,
        client: BuildClient,
        progress: Progress,
        options: RunOptions,
        *,
        flow: Callable[[], Awaitable[None]] | None = None,
        build_id: str = "",
    ) -> None:
        self.id = secrets.token_hex(12)
        self.build_id = build_id
        self.builder = builder
        self.engine: Engine = builder.engine
        self.client = client
        self.options = options
        self.views = Views(self.engine.snapshots, builder.selections)
        self.began_at = time.time_ns()
        self.failure: Failure | None = None
        self.cancelled = False
        self.exported: set[str] = set()  # vertices whose layers an output will want as blobs
        self._progress = progress
        self._flow = flow
        self._pins: Counter[str] = Counter()
        self._records: Counter[str] = Counter()
        self._forgotten: list[str] = []
        self.closing: list[Callable[[], None]] = []  # called once, by close()
        self._solving: set[asyncio.Task[object]] = set()
        self.stopping = False
        self.ended = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[Made]] = {}  # by vertex, for all solves of this build
        self.bases: dict[str, str] = {}  # reference with digest -> image id, of images that were resolved
        self.packed: set[str] = set()  # blobs of layers that nobody may want after this build
        self.materials: dict[str, tuple[str, dict[str, str]]] = {}  # of sources, by vertex: address, digests
        self.layouts: dict[str, Stack] = {}  # images out of the client's OCI layouts, by STORE@DIGEST
        self.folders: dict[str, Folder] = {}  # the client's directories that are here already, by name
        self.made: dict[str, Made] = {}  # by vertex: what is done
        self.running: dict[str, Shared] = {}
        self.layer_times: dict[str, int] = {}  # chain id -> when the step that made it ended, ns
        self.imported: list[Imported] = []  # caches from elsewhere, in the order in which they are asked
        self.cache_images: list[Image] = []  # classic --cache-from: images of the same steps
        self.history: dict[str, Lines] = {}  # by vertex: what an image of the same step has in its history
        self.mounts: dict[str, str] = {}  # cache mounts that steps had: id -> directory

    # -- telling

    def tell(self, event: Event) -> None:
        self._progress(event)

    def output(self, vertex: Vertex, stream: int, data: bytes) -> None:
        """Bytes of a step's process."""
        event = Output(vertex=vertex.digest, stream=stream, data=data, at=time.time_ns())
        shared = self.running.get(vertex.digest)
        for job in shared.jobs if shared is not None else (self,):
            job.tell(event)

    def transfer(self, vertex: Vertex, name: str, current: int, total: int, started: int, done: bool) -> None:
        now = time.time_ns()
        self._progress(
            Transfer(
                vertex=vertex.digest, id=name, name=name, current=current, total=total, at=now,
                started=started, completed=now if done else None,
            )
        )  # fmt: skip

    async def room(self) -> None:
        """Wait until whoever reads what a process writes has caught up."""
        if self._flow is not None:
            await self._flow()

    # -- running and cancelling

    def enter(self) -> None:
        """The running task solves for this build: cancel() ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._solving.add(task)

    def leave(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._solving.discard(task)

    def cancel(self) -> None:
        """End the build: what runs is killed, and whoever solves gets CancelledError."""
        self.cancelled = True
        for task in list(self._solving):
            task.cancel()

    # -- holding

    def pin(self, key: str) -> None:
        """Keep a layer or blob from collection until the build's end. Any thread."""
        images = self.engine.images
        with images.lock:
            images.pins[key] += 1
            self._pins[key] += 1

    def hold(self, stack: Stack) -> None:
        """Keep every layer of a stack, and the blobs that they have. Any thread."""
        for layer in stack.layers:
            self.pin(layer.chain_id)
            if layer.blob:
                self.pin(layer.blob)

    def dated(self, result: Result, at: int) -> None:
        """Remember when a step's uppermost layer was made."""
        if isinstance(result, Stack) and result.top:
            self.layer_times.setdefault(result.top, at)

    def use(self, record_id: str) -> None:
        """Keep a cache record from being pruned until the build's end."""
        if record_id:
            with self.builder.cache.lock:
                self._records[record_id] += 1
                self.builder.cache.in_use[record_id] += 1

    def owns(self, record_id: str) -> None:
        """A record's directory is this build's to change until its end; its use was counted."""
        self._records[record_id] += 1

    def forget(self, record_id: str) -> None:
        """A record's directory is this build's alone, and is removed at its end."""
        self._forgotten.append(record_id)

    def close(self) -> None:
        """Let go of everything."""
        self.builder.jobs.pop(self.id, None)
        while self.closing:
            self.closing.pop()()
        self.ended.set()
        self.views.close()
        images = self.engine.images
        with images.lock:
            self.packed.update(self._pins)
            images.pins.subtract(self._pins)
            images.pins += Counter()  # drops what fell to nothing
            self._pins.clear()
        for record_id in self._records.elements():
            self.builder.cache.release(record_id)
        self._records.clear()
        for record_id in self._forgotten:
            self.builder.cache.forget(record_id)
        self._forgotten.clear()

"""What all connections of one engine share: sessions, builds, and what clients are told of this engine."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakKeyDictionary

from onggi import __version__
from onggi.builder.builder import Builder
from onggi.builder.buildkit.build import Build, Outcome
from onggi.builder.buildkit.history.history import History
from onggi.builder.buildkit.messages import kind
from onggi.builder.buildkit.sessions import Sessions
from onggi.builder.executors import emulation
from onggi.engine.system.identity import engine_id
from onggi.errors import Conflict, InvalidParameter, NotFound

PROTOCOL = "0.22.0"
WAIT_SECONDS = 10.0
ENDED_KEPT = 64  # builds that a late Status may still ask for


class Door:
    """What all connections of one engine share: sessions and builds."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.sessions = Sessions()
        self.results: dict[str, Outcome] = {}  # of builds that run, for builds that stand on them
        self.history = History(builder)
        self._builds: OrderedDict[str, Build] = OrderedDict()
        self._refused: OrderedDict[str, str] = OrderedDict()  # why: nobody waits for these
        self._begun = asyncio.Condition()

    async def refuse(self, ref: str, why: str) -> None:
        """A build that will not begin."""
        self._refused[ref] = why
        if len(self._refused) > ENDED_KEPT:
            self._refused.popitem(last=False)
        async with self._begun:
            self._begun.notify_all()

    async def begin(self, build: Build, ref: str) -> None:
        """Raises InvalidParameter for a ref that is taken."""
        if not ref or ref in self._builds:
            raise InvalidParameter(f"build ref {ref!r}: one that is new is needed")
        self._builds[ref] = build
        while len(self._builds) > ENDED_KEPT:
            oldest = next((key for key, one in self._builds.items() if one.job.ended.is_set()), "")
            if not oldest:
                break
            del self._builds[oldest]
        async with self._begun:
            self._begun.notify_all()

    async def messages(self, ref: str) -> AsyncIterator[Any]:
        """What a build tells, or has told. Raises NotFound, Conflict."""
        known = self._builds.get(ref)
        if known is None or (known.teller.taken and known.job.ended.is_set()):
            for message in (told := await self.history.messages(ref)) or ():
                yield message
            if told is not None:
                return
        teller = (await self.build(ref)).teller
        if not teller.taken:
            listening = teller.messages()
        elif teller.record is not None:
            listening = teller.record.messages()
        else:
            raise Conflict(f"build {ref}: another client listens to it")
        async for message in listening:
            yield message

    async def build(self, ref: str) -> Build:
        """A build that runs, or is about to begin. Raises NotFound."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._begun:
                await self._begun.wait_for(lambda: ref in self._builds or ref in self._refused)
                return self._builds[ref]
        except (TimeoutError, KeyError):
            raise NotFound(self._refused.get(ref, f"no such job {ref}")) from None

    def worker(self) -> Any:
        """This engine as the one worker. The label of a snapshotter tells buildx's docker driver that caches
        and all kinds of results can be exported.
        """
        listed = [
            kind("Platform")(Architecture=one.architecture, OS=one.os, Variant=one.variant or "")
            for one in emulation.platforms()
        ]
        labels = {
            "org.mobyproject.buildkit.worker.executor": "containers",
            "org.mobyproject.buildkit.worker.snapshotter": "overlayfs",
        }
        return kind("WorkerRecord")(
            ID=engine_id(self.builder.engine.database), Labels=labels, platforms=listed,
            BuildkitVersion=version(),
        )  # fmt: skip


_doors: WeakKeyDictionary[Builder, Door] = WeakKeyDictionary()


def door_of(builder: Builder) -> Door:
    found = _doors.get(builder)
    if found is None:
        found = _doors[builder] = Door(builder)
    return found


def version() -> Any:
    """Clients read from it what they may ask for: the BuildKit whose protocol this is."""
    return kind("BuildkitVersion")(package="onggi", version=f"v{PROTOCOL}+onggi-{__version__}")

"""Builds that run, records of those that have ended, and who waits for news of both.

At most RECORDS_MAX records in BYTES_MAX bytes are kept, the newest; those that a client has pinned stay
beside them, PINNED_MAX at most. A record that cannot be written fails no build: the log says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from onggi import failpoints
from onggi.builder.buildkit.history import filters
from onggi.builder.buildkit.history.recording import Recording, read
from onggi.builder.buildkit.history.records import Draft
from onggi.builder.buildkit.messages import kind, timestamp
from onggi.errors import Conflict, InvalidParameter, NotFound, OnggiError, Unavailable
from onggi.store import build_history as rows

if TYPE_CHECKING:
    from onggi.builder.builder import Builder

STARTED, COMPLETE, DELETED = range(3)
RECORDS_MAX = 200
BYTES_MAX = 64 << 20
PINNED_MAX = 50
NEWS_MAX = 256  # events that wait for one listener
REF_MAX = 256
UNAVAILABLE = 14  # gRPC's code
INTERRUPTED = "the engine ended while this build was running"
log = logging.getLogger(__name__)


class Running:
    """A build that is being recorded: `draft` becomes its record, `recording` the log of it."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.recording = Recording()


class History:
    """One for an engine; for the event loop's thread."""

    def __init__(self, builder: Builder) -> None:
        self._work = builder.work
        self._database = builder.engine.database
        self._running: dict[str, Running] = {}
        self._listeners: set[asyncio.Queue[Any]] = set()
        self._interrupted()

    def _interrupted(self) -> None:
        """What a former engine left running has ended with it."""
        for row in rows.running(self._database):
            record = kind("BuildHistoryRecord").FromString(row.record)
            record.error.code, record.error.message = UNAVAILABLE, INTERRUPTED
            record.CompletedAt.CopyFrom(timestamp(time.time_ns()))
            rows.end(self._database, row.ref, time.time_ns(), record.SerializeToString(), {})

    # -- recording

    def begin(self, request: Any) -> Running:
        """Raises InvalidParameter."""
        if len(request.Ref) > REF_MAX:
            raise InvalidParameter(f"build ref of {len(request.Ref)} characters: more than {REF_MAX}")
        running = self._running[request.Ref] = Running(Draft(request))
        record = running.draft.message
        rows.begin(self._database, record.Ref, time.time_ns(), record.SerializeToString())
        failpoints.hit("history.begun")
        self._tell(STARTED, record)
        return running

    async def end(self, running: Running) -> None:
        """Its record is whole, and kept. Never raises what goes wrong with that."""
        record = running.draft.message
        try:
            running.recording.end()
            running.draft.end(running.recording)
            data, now = record.SerializeToString(), time.time_ns()
            kept = await self._work(rows.end, self._database, record.Ref, now, data, running.draft.blobs)
            failpoints.hit("history.ended")
            self._trim()
        except (OnggiError, OSError) as error:
            log.warning("the record of build %s is not kept: %s", record.Ref, error)
            kept = False
        finally:
            del self._running[record.Ref]
        if kept:
            self._tell(COMPLETE, record)

    def _trim(self) -> None:
        for ref in rows.surplus(self._database, most=RECORDS_MAX, most_bytes=BYTES_MAX):
            self._remove(ref)

    def _remove(self, ref: str) -> bool:
        removed = rows.delete(self._database, ref)
        if removed:
            self._tell(DELETED, kind("BuildHistoryRecord")(Ref=ref))
        return removed

    # -- asking

    async def messages(self, ref: str) -> list[Any] | None:
        """What a build that has ended told; None when there is no record of it."""
        row = rows.get(self._database, ref)
        if row is None or not row.ended_at:
            return None
        record = kind("BuildHistoryRecord").FromString(row.record)
        blob = await self._work(rows.blob, self._database, record.logs.digest)
        return await self._work(read, blob or b"")

    def _records(self, request: Any) -> list[tuple[int, Any]]:
        """Raises InvalidParameter."""
        matches = filters.matcher(request.Filter)
        if request.Limit < 0:
            raise InvalidParameter(f"invalid limit {request.Limit}")
        records = [(STARTED, one.draft.message) for one in self._running.values()]
        if not request.ActiveOnly:
            found = rows.ended(self._database)
            records += [(COMPLETE, kind("BuildHistoryRecord").FromString(row.record)) for row in found]
        passed = [one for one in records if request.Ref in ("", one[1].Ref) and matches(one[1])]
        return passed[: request.Limit or None]

    async def events(self, request: Any) -> AsyncGenerator[Any, None]:
        """BuildHistoryEvents: what there is, and unless `EarlyExit` what comes. Raises InvalidParameter,
        Unavailable for a listener that does not keep up.
        """
        news: asyncio.Queue[Any] = asyncio.Queue(NEWS_MAX + 1)
        self._listeners.add(news)
        try:
            for type_, record in self._records(request):
                yield _event(type_, record)
            while not request.EarlyExit:
                event = await news.get()
                if event is None:
                    raise Unavailable(f"more than {NEWS_MAX} events of builds were not taken")
                if request.Ref in ("", event.record.Ref):
                    yield event
        finally:
            self._listeners.discard(news)

    def _tell(self, type_: int, record: Any) -> None:
        event = _event(type_, record)
        for news in list(self._listeners):
            if news.qsize() < NEWS_MAX:
                news.put_nowait(event)
            else:
                self._listeners.discard(news)
                news.put_nowait(None)

    # -- changing

    def update(self, request: Any) -> None:
        """Pin, unpin or remove. Raises NotFound, Conflict."""
        row = rows.get(self._database, request.Ref)
        if row is None:
            raise NotFound(f"no build record {request.Ref!r}")
        if not row.ended_at:
            if request.Finalize:
                return  # there is no trace to wait for
            raise Conflict(f"build {request.Ref} is running: its record cannot be changed")
        if request.Delete:
            self._remove(request.Ref)
        elif not request.Finalize:
            self._pin(row, pinned=request.Pinned)

    def _pin(self, row: rows.HistoryRow, *, pinned: bool) -> None:
        if pinned and not row.pinned and rows.pinned(self._database) >= PINNED_MAX:
            raise Conflict(f"{PINNED_MAX} build records are pinned: no more can be")
        record = kind("BuildHistoryRecord").FromString(row.record)
        record.pinned = pinned
        record.Generation += 1
        rows.pin(self._database, row.ref, record.SerializeToString(), pinned=pinned)
        self._tell(COMPLETE, record)

    # -- blobs

    def blob_size(self, digest: str) -> int:
        """Raises NotFound."""
        size = rows.blob_size(self._database, digest)
        if size is None:
            raise NotFound(f"no build record has content {digest}")
        return size

    async def blob(self, digest: str) -> bytes:
        """Raises NotFound."""
        data: bytes | None = await self._work(rows.blob, self._database, digest)
        if data is None:
            raise NotFound(f"no build record has content {digest}")
        return data


def _event(type_: int, record: Any) -> Any:
    return kind("BuildHistoryEvent")(type=type_, record=record)

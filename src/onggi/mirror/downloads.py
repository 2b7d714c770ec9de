"""Blobs on their way in: each is fetched once, however many clients want it, and read while it grows.

    download = downloads.join(repository, digest, size, fetch)     begins one, or joins the one under way
    for piece in download.read(start, end): ...

A download goes on when its clients go away: somebody will want it again. What was cut off stays partial and
is gone on with by the next one (store/blobs.py). The last byte is held back until the digest was compared, so
that nobody takes a wrong blob for a whole one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator

from onggi.errors import Corrupt, NoSpace, OnggiError, System, Unavailable
from onggi.store.blobs import Blobs, Ingest

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 20
AT_ONCE = 8
STALLED_S = 120.0
Fetch = Callable[[int], Iterable[bytes]]  # a blob's bytes from an offset on


class Download:
    """One blob that is being fetched."""

    def __init__(self, digest: str, size: int, ingest: Ingest) -> None:
        self.digest = digest
        self.size = size
        self._ingest = ingest
        self._news = threading.Condition()
        self._came = ingest.offset
        self._sealed = False
        self._failure: OnggiError | None = None
        self.fd = os.open(ingest.path, os.O_RDONLY | os.O_CLOEXEC)  # also after the rename
        self._readers = 1  # its own thread

    def take(self) -> bool:
        """One reader more; no where the last one has just left."""
        with self._news:
            if not self._readers:
                return False
            self._readers += 1
            return True

    def leave(self) -> None:
        with self._news:
            self._readers -= 1
            if not self._readers:
                os.close(self.fd)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, as they come. Raises what the download failed with."""
        while start < end:
            reached = self._wait(start, end)
            piece = os.pread(self.fd, min(PIECE_BYTES, reached - start), start)
            if not piece:
                raise Corrupt(f"blob {self.digest} was cut off at {start} of {self.size} bytes")
            start += len(piece)
            yield piece

    def _wait(self, start: int, end: int) -> int:
        """How far can be read: beyond `start`."""
        with self._news:
            while True:
                if self._failure is not None:
                    raise self._failure
                ready = self._came if self._sealed else min(self._came, self.size - 1)
                if ready > start:
                    return min(ready, end)
                if not self._news.wait(STALLED_S):
                    raise Unavailable(f"blob {self.digest}: nothing came for {STALLED_S:.0f} s")

    def run(self, fetch: Fetch, commit: Callable[[Ingest], None]) -> None:
        """Fetch it to its end; in a thread of its own."""
        try:
            for piece in fetch(self._ingest.offset):
                self._ingest.write(piece)
                with self._news:
                    self._came = self._ingest.offset
                    self._news.notify_all()
            if self._ingest.offset != self.size:
                raise Corrupt(f"blob {self.digest} ends after {self._ingest.offset} of {self.size} bytes")
            commit(self._ingest)
        except OnggiError as error:
            self._fail(error)
        except Exception as error:  # the edge of a thread: nobody else would hear of it
            log.error("blob %s failed", self.digest, exc_info=error)
            self._fail(System(f"blob {self.digest}: internal error: {type(error).__name__}"))
        else:
            with self._news:
                self._sealed = True
                self._news.notify_all()

    def _fail(self, error: OnggiError) -> None:
        if isinstance(error, Corrupt | NoSpace):
            self._ingest.discard()  # it is not gone on with
        else:
            self._ingest.__exit__()
        log.warning("blob %s: %s", self.digest, error.message)
        with self._news:
            self._failure = error
            self._news.notify_all()


class Downloads:
    """All of one cache. Its methods may be called from several threads."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._running: dict[str, Download] = {}
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._threads: set[threading.Thread] = set()

    def join(
        self, digest: str, size: int, fetch: Fetch, commit: Callable[[Ingest], None]
    ) -> tuple[Download, bool]:
        """(the download, whether it was under way already); the caller leaves it when it has read."""
        with self._lock:
            running = self._running.get(digest)
            if running is not None and running.take():
                return running, True
            ingest = self._blobs.ingest(digest, resume=True)
            if ingest.offset > size:
                ingest.discard()
                ingest = self._blobs.ingest(digest, resume=True)
            download = self._running[digest] = Download(digest, size, ingest)
            download.take()
            thread = threading.Thread(
                target=self._run, args=(download, fetch, commit), name="mirror", daemon=True
            )
            self._threads.add(thread)
            thread.start()
            return download, False

    def busy(self) -> set[str]:
        with self._lock:
            return set(self._running)

    def wait(self, seconds: float) -> None:
        """Until all have ended."""
        with self._lock:
            listed = list(self._threads)
        for thread in listed:
            thread.join(seconds)

    def _run(self, download: Download, fetch: Fetch, commit: Callable[[Ingest], None]) -> None:
        try:
            with self._slots:
                download.run(fetch, commit)
        finally:
            with self._lock:
                if self._running.get(download.digest) is download:
                    del self._running[download.digest]
                self._threads.discard(threading.current_thread())
            download.leave()

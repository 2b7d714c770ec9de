"""Blobs that come from afar: each is downloaded once, whoever wants it, and goes on after whatever cut it
off.

    oci/partial/HEX     the bytes that came so far; hashed again when somebody goes on with them

Jobs that want the same blob take turns; the second finds it sealed and shares it. A job that ends without
publishing leaves what it has for the next one, except what is wrong or does not fit on the disk.
Owns partial files named by a digest; one that nobody went on with for KEPT_S is deleted at start.
Failpoints: incoming.begun, blob.written, blob.sealed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec

from onggi import failpoints
from onggi.errors import Corrupt, NoSpace
from onggi.images.unpacking import Unpacking
from onggi.spec import digest as digests
from onggi.store.atomic import remove
from onggi.store.blobs import Ingest

if TYPE_CHECKING:
    from onggi.images.images import Images

KEPT_S = 7 * 24 * 3600
TURN_S = 0.2
READ_BYTES = 256 << 10
Reader = Callable[[int], Generator[bytes, None, None]]  # the bytes of a blob from an offset on


class Watch(Protocol):
    """Whoever waits for a blob: hears how it goes on, and may give up."""

    def check(self) -> None:
        """Raises to give up."""
        ...

    def received(self, count: int) -> None:
        """So many bytes are here."""
        ...

    def complete(self) -> None:
        """All bytes are here and are what they should be."""
        ...


class _Shared(msgspec.Struct):
    ingest: Ingest
    holders: int


class Incoming:
    """The blobs on their way in, of all jobs. Its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, tuple[threading.Lock, int]] = {}
        self._sealed: dict[str, _Shared] = {}

    @contextmanager
    def turn(self, digest: str, check: Callable[[], None]) -> Iterator[None]:
        """Nobody else receives this blob while the block runs. Raises what `check` raises while it waits."""
        with self._lock:
            lock, waiting = self._turns.get(digest, (threading.Lock(), 0))
            self._turns[digest] = (lock, waiting + 1)
        try:
            while not lock.acquire(timeout=TURN_S):
                check()
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._lock:
                lock, waiting = self._turns[digest]
                self._turns[digest] = (lock, waiting - 1)
                if waiting == 1:
                    del self._turns[digest]

    def share(self, digest: str) -> Ingest | None:
        """The sealed blob of another job; `release` gives it back."""
        with self._lock:
            shared = self._sealed.get(digest)
            if shared is None or not shared.ingest.path:
                return None
            shared.holders += 1
            return shared.ingest

    def hold(self, digest: str, ingest: Ingest) -> None:
        """A blob that was just sealed, by its first holder."""
        with self._lock:
            self._sealed[digest] = _Shared(ingest, 1)

    def release(self, digest: str, ingest: Ingest, *, useless: bool) -> None:
        """Want no more of it. The file stays for who comes later, unless it is known to be of no use."""
        with self._lock:
            shared = self._sealed.get(digest)
            if shared is None or shared.ingest is not ingest:
                return
            shared.holders -= 1
            if not shared.holders:
                del self._sealed[digest]
                if useless:
                    ingest.discard()

    def busy(self) -> set[str]:
        """The digests that somebody receives or holds."""
        with self._lock:
            return {*self._turns, *self._sealed}


def receive(
    images: Images, digest: str, size: int, reader: Reader, watch: Watch, *, unpack: bool
) -> tuple[Ingest, Unpacking | None]:
    """Download a blob whose turn it is, and unpack it meanwhile; the worker goes on after the last byte.

    Raises Corrupt (once more from its first byte where an earlier try left something), NoSpace, what the
    reader and the unpacking raise.
    """
    failpoints.hit("incoming.begun")
    ingest = images.blobs.ingest(digest, resume=True)
    resumed = ingest.offset > 0
    try:
        return _receive(images, ingest, size, reader, watch, unpack=unpack)
    except Corrupt:
        if not resumed:
            raise
    return _receive(images, images.blobs.ingest(digest, resume=True), size, reader, watch, unpack=unpack)


def _receive(
    images: Images, ingest: Ingest, size: int, reader: Reader, watch: Watch, *, unpack: bool
) -> tuple[Ingest, Unpacking | None]:
    worker = Unpacking(images) if unpack else None
    try:
        if ingest.offset > size:
            raise Corrupt(f"blob {ingest.expected} is corrupt: it has more than {size} bytes")
        if worker and ingest.offset:
            _feed(worker, ingest.path, watch)
        with closing(reader(ingest.offset)) as pieces:  # its connection ends with it, not with a collection
            for piece in pieces:
                watch.check()
                ingest.write(piece)
                if worker:
                    worker.write(piece)
                    worker.check()
                watch.received(ingest.offset)
        ingest.seal()
    except (Corrupt, NoSpace):
        ingest.discard()
        _abandon(worker)
        raise
    except BaseException:
        if worker and worker.failed:
            ingest.discard()  # no later try would unpack it either
        else:
            ingest.__exit__()
        _abandon(worker)
        raise
    watch.complete()
    if worker:
        worker.end()
    return ingest, worker


def _feed(worker: Unpacking, path: str, watch: Watch) -> None:
    """What an earlier try left."""
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(READ_BYTES):
            watch.check()
            worker.write(piece)


def _abandon(worker: Unpacking | None) -> None:
    if worker:
        worker.abandon()


def sweep(images: Images, *, older_s: float) -> int:
    """Delete resumable partial blobs that nobody touched for so long; returns their bytes."""
    freed = 0
    busy = images.incoming.busy()
    for name in os.listdir(images.blobs.partial_dir):
        path = f"{images.blobs.partial_dir}/{name}"
        if not digests.is_hex64(name) or digests.PREFIX + name in busy:
            continue
        try:
            found = os.stat(path)
        except FileNotFoundError:
            continue
        if time.time() - found.st_mtime >= older_s:
            remove(path)
            freed += found.st_size
    return freed

"""What the cache answers: manifests, blobs and lists of a repository, from disk or from upstream.

    <root>/oci/            blobs and manifests, an OCI layout (store/blobs.py)
    <root>/cache.db        which there are, and when each was used last (ledger.py)
    <root>/lock            one process for each root

A tag is asked for upstream each time, by HEAD, which costs a registry's quota nothing; where upstream does
not answer, what it last said is served, and marked so. What has a digest is never asked for twice. Room is
made before a blob comes: the least recently used go first. Offline nothing is asked, and what lacks is named.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from onggi import __version__
from onggi.errors import NotFound, OnggiError, TooLarge, Unavailable
from onggi.mirror.downloads import Download, Downloads
from onggi.mirror.ledger import Held, Ledger
from onggi.registry.credentials import Credentials
from onggi.registry.endpoints import Settings, Source, direct
from onggi.registry.failures import RegistryFailure
from onggi.registry.registries import Job, Registries
from onggi.registry.repository import Manifest, Repository
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.store.atomic import remove
from onggi.store.blobs import Blobs, Ingest
from onggi.store.locks import Lock

log = logging.getLogger(__name__)

T = TypeVar("T")
Who = Callable[[str], Credentials]  # a domain's credentials


class Found(msgspec.Struct, frozen=True):
    """A manifest's head; `stale` where upstream could not be asked."""

    held: Held
    how: str  # hit, miss, stale: for the log and the X-Cache header
    stale: bool = False


class Cache:
    """One cache directory. Its methods may be called from several threads; a context manager."""

    def __init__(
        self, root: str, settings: Settings, *, max_bytes: int, who: Who, hosts: dict[str, str] | None = None
    ) -> None:
        """`hosts`: where the images of a domain are asked for, if not at the domain itself."""
        os.makedirs(root, mode=0o700, exist_ok=True)
        self._lock = Lock(f"{root}/lock")
        self.blobs = Blobs(f"{root}/oci")
        self.ledger = Ledger(f"{root}/cache.db")
        self.downloads = Downloads(self.blobs)
        self._max_bytes = max_bytes
        self._who = who
        self._hosts = hosts or {}
        self._registries = Registries(settings, user_agent=f"onggi/{__version__}")
        self._room = threading.Lock()
        self._jobs: set[Job] = set()
        self._coming: dict[str, int] = {}  # bytes of blobs on their way
        self.blobs.sweep_partial()
        self.ledger.reconcile(self.blobs)

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        for job in list(self._jobs):
            job.cancel()
        self.downloads.wait(10)
        self.ledger.close()
        self._lock.close()

    @property
    def offline(self) -> bool:
        return self._registries.settings.offline

    # ------------------------------------------------------------------------------ manifests

    def manifest(self, domain: str, path: str, reference: str) -> Found:
        """By tag or digest; its bytes are in the store afterwards. Raises NotFound, RegistryFailure."""
        repository = f"{domain}/{path}"
        if digests.is_digest(reference):
            held = self._here(repository, reference)
            if held is not None and held.media_type:
                return Found(held, "hit")
            return Found(self._fetched(domain, path, reference), "miss")
        known = self.ledger.tagged(repository, reference)
        if not self.offline:
            try:
                return self._by_tag(domain, path, reference)
            except RegistryFailure as failure:
                if known is None or not failure.temporary:
                    raise
                log.warning("%s:%s: upstream does not answer: %s", repository, reference, failure.message)
        held = self._here(repository, known[0]) if known else None
        if held is None or not held.media_type:
            raise self._missing(f"{repository}:{reference}")
        return Found(held, "stale", stale=not self.offline)

    def _by_tag(self, domain: str, path: str, tag: str) -> Found:
        repository = f"{domain}/{path}"
        head = self._ask(domain, path, lambda one: one.head(tag))
        held = self._here(repository, head.digest) if head is not None else None
        if held is not None and held.media_type:
            self.ledger.tag(repository, tag, held.digest)
            return Found(held, "hit")
        held = self._fetched(domain, path, head.digest if head is not None else tag)
        self.ledger.tag(repository, tag, held.digest)
        return Found(held, "miss")

    def _fetched(self, domain: str, path: str, reference: str) -> Held:
        if self.offline:
            raise self._missing(f"{domain}/{path}@{reference}")
        found: Manifest = self._ask(domain, path, lambda one: one.manifest(reference))
        self._make_room(len(found.data))
        self.ledger.add(f"{domain}/{path}", found.digest, len(found.data), found.media_type)
        self.blobs.add(found.data)
        return Held(found.digest, len(found.data), found.media_type)

    def document(self, digest: str) -> bytes:
        """A manifest's bytes. Raises Corrupt."""
        return self.blobs.read(digest, documents.DOCUMENT_MAX_BYTES)

    # ------------------------------------------------------------------------------ blobs

    def blob_size(self, domain: str, path: str, digest: str) -> tuple[int, bool]:
        """(bytes, whether it is here). Raises NotFound, RegistryFailure."""
        held = self._here(f"{domain}/{path}", digest)
        if held is not None:
            return held.size, True
        if self.offline:
            raise self._missing(f"blob {digest} of {domain}/{path}")
        size = self._ask(domain, path, lambda one: one.blob_size(digest))
        if size is None:
            raise NotFound(f"blob {digest} of {domain}/{path} is unknown to its registry")
        if self.blobs.exists(digest) and self.blobs.size(digest) == size:
            self.ledger.add(f"{domain}/{path}", digest, size)  # another repository brought it
            return size, True
        return size, False

    def local(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        """A blob that is here."""
        with self.blobs.open(digest) as file:
            file.seek(start)
            while start < end and (piece := file.read(min(1 << 20, end - start))):
                start += len(piece)
                yield piece

    def fetch(self, domain: str, path: str, digest: str, size: int) -> tuple[Download, bool]:
        """Begin to fetch a blob, or join. Raises TooLarge, RegistryFailure."""
        if size > self._max_bytes:
            raise TooLarge(
                f"blob {digest} has {size} bytes, more than the whole cache may ({self._max_bytes})"
            )
        job = self._registries.job(self._who(self._hosts.get(domain, domain)))

        def pieces(offset: int) -> Iterable[bytes]:
            self._jobs.add(job)
            with job:
                try:
                    self._make_room(size, digest)
                    # Asked once more, so that it is known which of TLS and plain HTTP answers.
                    source = self._at(job, domain, path, lambda one: (one.blob_size(digest), one)[1])
                    yield from source.blob(digest, size, offset)
                finally:
                    self._jobs.discard(job)
                    self._coming.pop(digest, None)

        def commit(ingest: Ingest) -> None:
            ingest.sync()
            ingest.seal()
            self.ledger.add(f"{domain}/{path}", digest, size)
            ingest.commit()

        return self.downloads.join(digest, size, pieces, commit)

    # ------------------------------------------------------------------------------ lists

    def tags(self, domain: str, path: str) -> list[str]:
        if self.offline:
            return self.ledger.tags(f"{domain}/{path}")
        return self._ask(domain, path, lambda one: one.tags())

    def referrers(self, domain: str, path: str, digest: str, artifact_type: str) -> documents.Index:
        if self.offline:
            raise self._missing(f"the referrers of {digest} of {domain}/{path}")
        return self._ask(domain, path, lambda one: one.referrers(digest, artifact_type))

    # ------------------------------------------------------------------------------ upstream

    def _ask(self, domain: str, path: str, ask: Callable[[Repository], T]) -> T:
        job = self._registries.job(self._who(self._hosts.get(domain, domain)))
        self._jobs.add(job)
        try:
            with job:
                return self._at(job, domain, path, ask)
        finally:
            self._jobs.discard(job)

    def _at(self, job: Job, domain: str, path: str, ask: Callable[[Repository], T]) -> T:
        """The registry itself: its mirrors may be this cache."""
        host = self._hosts.get(domain, domain)
        sources = [Source(one, path) for one in direct(host, self._registries.settings)]
        return job.first_of(sources, ask)[1]

    def _here(self, repository: str, digest: str) -> Held | None:
        held = self.ledger.find(repository, digest)
        if held is None:
            return None
        if not self.blobs.exists(digest) or self.blobs.size(digest) != held.size:
            return None  # it is being put into place, or was deleted by hand
        return held

    def _missing(self, what: str) -> OnggiError:
        if self.offline:
            return NotFound(f"the cache is offline (--offline) and does not hold {what}")
        return Unavailable(f"the cache does not hold {what}, and its registry does not answer")

    def _make_room(self, size: int, coming: str = "") -> None:
        """Delete what nobody goes on with, then the least recently used, until `size` bytes fit beside what
        comes already. Files that are being read live on unseen.
        """
        with self._room:
            partial = self._idle()
            taken = self.ledger.bytes() + sum(self._coming.values()) + sum(found for _, found in partial)
            excess = taken + size - self._max_bytes
            if coming:
                self._coming[coming] = size
            for digest, freed in [*partial, *(self.ledger.oldest() if excess > 0 else [])]:
                if excess <= 0:
                    return
                remove(f"{self.blobs.partial_dir}/{digest[7:]}")
                self.blobs.remove(digest)
                self.ledger.forget(digest)
                log.info("evicted %s (%d bytes)", digest, freed)
                excess -= freed

    def _idle(self) -> list[tuple[str, int]]:
        """Partial blobs that are not being fetched: (digest, bytes)."""
        busy = self.downloads.busy()
        names = [name for name in os.listdir(self.blobs.partial_dir) if digests.is_hex64(name)]
        found = [digests.PREFIX + name for name in names if digests.PREFIX + name not in busy]
        return [(one, _size(f"{self.blobs.partial_dir}/{one[7:]}")) for one in found]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0

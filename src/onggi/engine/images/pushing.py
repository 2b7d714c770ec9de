"""One push, in threads: blobs that the registry lacks, side by side, then the manifest.

A name that stands for an index pushes all of it where all of it is here, else the one manifest that is, as
dockerd does. The commit point is the PUT by tag: before it the registry has blobs that nothing names. Bytes
are sent as they lie in the store, so the digest is the one that the image came with, or was made with.
Failpoints: push.layers-sent, push.manifest-sent, and those of registry/uploads.py.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from onggi import failpoints
from onggi.engine.images import referrers
from onggi.engine.images.outgoing import Outgoing, choose, media_type_of
from onggi.engine.images.side_by_side import all_of
from onggi.engine.images.transfers import Say
from onggi.errors import NotFound
from onggi.images import media_types
from onggi.images.images import Images
from onggi.images.indexes import contents
from onggi.images.progress import INTERVAL_S, Detail, Progress, Pushed, PushedInstead, Told, bar
from onggi.registry import uploads
from onggi.registry.endpoints import PUSH
from onggi.registry.registries import Job
from onggi.registry.repository import Repository
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import reference as references
from onggi.spec.reference import Reference
from onggi.store import images as rows


class Push:
    """Tags of one repository; `wanted` None stands for all platforms."""

    def __init__(
        self,
        images: Images,
        job: Job,
        say: Say,
        *,
        uploads_at_once: int,
        wanted: platforms.Platform | None = None,
    ) -> None:
        self._images = images
        self._job = job
        self._say = say
        self._at_once = uploads_at_once
        self._wanted = wanted

    def tags(self, named: Reference) -> list[Reference]:
        """Those that are here. Raises NotFound."""
        found = [references.parse(row.name) for row in rows.names(self._images.database)]
        mine = [one for one in found if one.name == named.name and one.tag]
        if not mine:
            raise NotFound(f"An image does not exist locally with the tag: {named.familiar_name}")
        return mine

    def referring(self, named: Reference, pushed: list[str]) -> None:
        """The artifacts that are here and refer to what was pushed. Raises as `one`."""
        for one in referrers.each(named, pushed, lambda digest: referrers.local(self._images, digest)):
            self._beside(named, one.digest, one.digest)
        for tag, digest in referrers.local_tags(self._images, pushed):
            self._beside(named, digest, tag)

    def _beside(self, named: Reference, digest: str, tag: str) -> None:
        with contextlib.ExitStack() as held:
            with self._images.lock:
                held.enter_context(self._images.pinned([*contents(self._images, digest), digest]))
            size = self._send(named, Outgoing(digest, [digest]), tag=tag)
        self._say(Progress(status=f"{digest}: refers to {named.familiar}, size: {size}"))

    def one(self, named: Reference) -> list[str]:
        """One tag; returns the digests of its manifests. Raises NotFound, Conflict, Corrupt, RegistryFailure,
        Cancelled.
        """
        images = self._images
        with contextlib.ExitStack() as held:
            with images.lock:
                row = rows.get_name(images.database, str(named))
                if row is None:
                    raise NotFound(f"tag does not exist: {named.familiar}")
                out = choose(images, row, self._wanted)
                needed = [blob for one in out.manifests for blob in contents(images, one)]
                held.enter_context(images.pinned([*needed, *out.documents_, out.top]))
            size = self._send(named, out)
        failpoints.hit("push.manifest-sent")
        self._known_there(named, row, out)
        self._say(Progress(status=f"{named.tag}: digest: {out.top} size: {size}"))
        self._say(Progress(progress_detail=Detail(), aux=Pushed(named.tag, out.top, size)))
        if out.instead_of and self._wanted is None:
            self._say(Progress(instead=PushedInstead(self._told(out.instead_of), self._told(out.top))))
        return list(dict.fromkeys([out.top, *out.manifests]))

    def _send(self, named: Reference, out: Outgoing, tag: str = "") -> int:
        """Blobs, then documents from below, the named one last; returns its size."""
        manifests = {digest: self._manifest(digest) for digest in out.manifests}
        first = next(iter(manifests.values()))
        repository, _ = self._job.first(named, lambda one: one.has_blob(first.config.digest), need=PUSH)
        self._blobs(named, repository, manifests)
        failpoints.hit("push.layers-sent")
        for digest in out.documents_:
            self._put(repository, digest, digest)
        return self._put(repository, tag or named.tag, out.top)

    def _put(self, repository: Repository, reference: str, digest: str) -> int:
        data = self._images.blobs.read(digest, documents.DOCUMENT_MAX_BYTES)
        repository.put_manifest(reference, media_type_of(data, digest), data)
        return len(data)

    def _manifest(self, digest: str) -> documents.Manifest:
        data = self._images.blobs.read(digest, documents.DOCUMENT_MAX_BYTES)
        return documents.decode(documents.Manifest, data, f"manifest {digest}")

    def _told(self, digest: str) -> Told:
        data = self._images.blobs.read(digest, documents.DOCUMENT_MAX_BYTES)
        return Told(media_type_of(data, digest), digest, len(data))

    def _blobs(
        self, named: Reference, repository: Repository, manifests: dict[str, documents.Manifest]
    ) -> None:
        """Layers and configurations, each digest once."""
        wanted: dict[str, tuple[documents.Descriptor, str]] = {}
        for manifest in manifests.values():
            for layer, name in zip(manifest.layers, self._shown(manifest), strict=True):
                wanted.setdefault(layer.digest, (layer, name))
            wanted.setdefault(manifest.config.digest, (manifest.config, ""))
        for _, name in wanted.values():
            self._tell(name, "Preparing")
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="push") as pool:
            futures = [pool.submit(self._blob, named, repository, *one) for one in wanted.values()]
            all_of(futures, self._job)

    def _shown(self, manifest: documents.Manifest) -> list[str]:
        """What layers are called in the lines: by what they unpack to; artifacts' by their digests."""
        if manifest.config.media_type in media_types.CONFIGS:
            diff_ids = self._images.document(manifest.config.digest).rootfs.diff_ids
            if len(diff_ids) == len(manifest.layers):
                return [digests.short(one) for one in diff_ids]
        return [digests.short(one.digest) for one in manifest.layers]

    def _blob(self, named: Reference, repository: Repository, blob: documents.Descriptor, name: str) -> None:
        if repository.has_blob(blob.digest):
            self._tell(name, "Layer already exists")
            return
        for neighbour in self._neighbours(named, blob.digest):
            if uploads.mount(repository, blob.digest, neighbour):
                self._tell(name, f"Mounted from {neighbour}")
                return
        size = self._images.blobs.size(blob.digest)
        uploads.upload(
            repository,
            blob.digest,
            size,
            lambda: self._images.blobs.open(blob.digest, blob.size),
            Sending(self._say, name, size).report,
        )
        self._tell(name, "Pushed")

    def _neighbours(self, named: Reference, digest: str) -> list[str]:
        """Repositories of the same registry that are known to have the blob."""
        found = map(references.parse, rows.names_with_blob(self._images.database, digest))
        paths = [one.path for one in found if one.domain == named.domain and one.digest]
        return [path for path in dict.fromkeys(paths) if path != named.path][:3]

    def _known_there(self, named: Reference, row: rows.NameRow, out: Outgoing) -> None:
        images = self._images
        by_digest = str(Reference(named.domain, named.path, "", out.top))
        with images.lock:
            image_id = row.image_id if out.top == row.target else rows.by_manifest(images.database, out.top)
            if image_id and rows.get(images.database, image_id):
                target = row.target if out.top == row.target else ""
                new = rows.NameRow(by_digest, image_id, row.digest if target else out.top, target)
                rows.set_name(images.database, new, time.time_ns())

    def _tell(self, name: str, status: str) -> None:
        if name:
            self._say(Progress(status=status, id=name, progress_detail=Detail()))


class Sending:
    """One layer's progress, ten lines a second at most."""

    def __init__(self, say: Say, name: str, size: int) -> None:
        self._say = say
        self._name = name
        self._size = size
        self._last = 0.0

    def report(self, count: int) -> None:
        now = time.monotonic()
        if not self._name or now - self._last < INTERVAL_S:
            return
        self._last = now
        drawn = bar(count, self._size)
        detail = Detail(count, self._size)
        self._say(Progress(status="Pushing", id=self._name, progress=drawn, progress_detail=detail))

"""One push, in threads: blobs that the registry lacks, side by side, then the manifest.

The commit point is the manifest's PUT: before it the registry has blobs that nothing names. Bytes are sent
as they lie in the store, so the digest is the one that the image came with, or was made with.
Failpoints: push.layers-sent, push.manifest-sent, and those of registry/uploads.py.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from onggi import failpoints
from onggi.engine.images.pulling import all_of, short
from onggi.engine.images.transfers import Say
from onggi.errors import NotFound
from onggi.images.images import Image, Images
from onggi.images.progress import INTERVAL_S, Detail, Progress, Pushed, bar
from onggi.registry import uploads
from onggi.registry.endpoints import PUSH
from onggi.registry.registries import Job
from onggi.registry.repository import Repository
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.reference import Reference
from onggi.store import images as rows


class Push:
    """Tags of one repository."""

    def __init__(self, images: Images, job: Job, say: Say, *, uploads_at_once: int) -> None:
        self._images = images
        self._job = job
        self._say = say
        self._at_once = uploads_at_once

    def tags(self, named: Reference) -> list[Reference]:
        """Those that are here. Raises NotFound."""
        found = [references.parse(row.name) for row in rows.names(self._images.database)]
        mine = [one for one in found if one.name == named.name and one.tag]
        if not mine:
            raise NotFound(f"An image does not exist locally with the tag: {named.familiar_name}")
        return mine

    def one(self, named: Reference) -> None:
        """One tag. Raises NotFound, Corrupt, RegistryFailure, Cancelled."""
        image_id = rows.find_name(self._images.database, str(named))
        image = self._images.get(image_id) if image_id else None
        if image is None:
            raise NotFound(f"tag does not exist: {named.familiar}")
        with self._images.pinned(rows.blobs(self._images.database, image.id)):
            data = self._images.blobs.read(image.manifest, documents.DOCUMENT_MAX_BYTES)
            manifest = documents.decode(documents.Manifest, data, f"manifest {image.manifest}")
            repository, _ = self._job.first(
                named, lambda one: one.has_blob(manifest.config.digest), need=PUSH
            )
            self._blobs(named, repository, image, manifest)
            failpoints.hit("push.layers-sent")
            media_type = manifest.media_type or documents.OCI_MANIFEST
            digest = repository.put_manifest(named.tag, media_type, data)
        failpoints.hit("push.manifest-sent")
        self._known_there(named, image, digest)
        self._say(Progress(status=f"{named.tag}: digest: {digest} size: {len(data)}"))
        self._say(Progress(progress_detail=Detail(), aux=Pushed(named.tag, digest, len(data))))

    def _blobs(
        self, named: Reference, repository: Repository, image: Image, manifest: documents.Manifest
    ) -> None:
        """Layers and configuration, each digest once."""
        names = map(short, image.document.rootfs.diff_ids)
        wanted = {one.digest: (one, name) for one, name in zip(manifest.layers, names, strict=True)}
        for _, name in wanted.values():
            self._say(Progress(status="Preparing", id=name, progress_detail=Detail()))
        wanted[manifest.config.digest] = (manifest.config, "")
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="push") as pool:
            futures = [pool.submit(self._blob, named, repository, *one) for one in wanted.values()]
            all_of(futures, self._job)

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

    def _known_there(self, named: Reference, image: Image, digest: str) -> None:
        by_digest = str(Reference(named.domain, named.path, "", digest))
        with self._images.lock:
            rows.set_name(
                self._images.database, rows.NameRow(by_digest, image.id, image.manifest), time.time_ns()
            )

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

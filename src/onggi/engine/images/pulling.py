"""One pull, in threads: manifest, then layers at once, then one commit.

    HEAD tag -> known and here: done          one round trip
    GET manifest (an index leads to the platform's) -> configuration -> layers side by side -> Staging.publish

The commit point is that of `Staging.publish`. Before it nothing changes but partial blobs, which the next
pull of any image goes on from. What a registry sends is judged in registry/ (bytes) and here (what fits).
Failpoints: pull.manifest-read, pull.layers-here, and those of incoming.py and staging.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import msgspec

from onggi import failpoints
from onggi.engine.images.transfers import Say
from onggi.errors import Corrupt, InvalidParameter, NotFound
from onggi.images.images import Image, Images
from onggi.images.progress import INTERVAL_S, Detail, Progress, bar
from onggi.images.staging import LAYERS_MAX, NewImage, Published, Staging
from onggi.registry.failures import RegistryFailure
from onggi.registry.registries import Job
from onggi.registry.repository import Manifest, Repository
from onggi.signatures import check as signed
from onggi.signatures.attached import attached
from onggi.signatures.policy import Policy
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec.reference import Reference
from onggi.store import images as rows

T = TypeVar("T")
INDEX_DEPTH = 4
INDEX_ENTRIES = 1000
CONFIGS = frozenset((documents.OCI_CONFIG, documents.DOCKER_CONFIG))
LAYERS = frozenset(
    (
        *documents.LAYER_TYPES.values(),
        documents.DOCKER_LAYER,
        documents.DOCKER_LAYER_GZIP,
        documents.DOCKER_LAYER + ".zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    )
)


class Pulled(msgspec.Struct, frozen=True):
    """What a pull found: the image, the digest that the name stands for, and whether anything changed."""

    id: str
    digest: str
    manifest: str
    changed: bool
    moved: dict[str, str] = {}


class Pull:
    """One image of one platform. `wanted` None stands for this machine's."""

    def __init__(
        self,
        images: Images,
        job: Job,
        say: Say,
        *,
        wanted: platforms.Platform | None,
        downloads: int,
        policy: Policy | None,
    ) -> None:
        self._images = images
        self._job = job
        self._say = say
        self._wanted = wanted
        self._downloads = downloads
        self._policy = policy

    def one(self, named: Reference) -> Pulled:
        """By tag or digest. Raises NotFound, RegistryFailure, Corrupt, InvalidParameter, NoSpace."""
        repository, found = self._find(named)
        what = named.digest or named.tag
        if isinstance(found, Pulled):
            self._accept(named, repository, found.manifest, found.digest)
            self._said(named, what, found)
            return found
        top = found.digest
        self._say(Progress(status=f"Pulling from {named.path}", id=what))
        manifest = self._for_platform(repository, named, found)
        self._accept(named, repository, manifest.digest, top)
        failpoints.hit("pull.manifest-read")
        names = [str(Reference(named.domain, named.path, "", top))]
        names += [str(Reference(named.domain, named.path, named.tag))] if named.tag else []
        published = self._bring(named, repository, manifest, names)
        result = Pulled(published.id, top, manifest.digest, changed=True, moved=published.moved)
        self._last(named, result)
        return result

    def tags(self, named: Reference) -> list[str]:
        """Of the whole repository. Raises NotFound, RegistryFailure."""
        return self._asked(named, lambda repository: repository.tags())[1]

    # ------------------------------------------------------------------------------ manifest

    def _find(self, named: Reference) -> tuple[Repository, Manifest | Pulled]:
        what = named.digest or named.tag

        def ask(repository: Repository) -> Manifest | Pulled:
            digest = named.digest
            if not digest:
                digest = self._head(repository, named.tag)
            here = self._here(named, digest) if digest else None
            return here or repository.manifest(what)

        return self._asked(named, ask)

    def _asked(self, named: Reference, ask: Callable[[Repository], T]) -> tuple[Repository, T]:
        try:
            return self._job.first(named, ask)
        except RegistryFailure as failure:
            raise explained(failure, named) from None

    @staticmethod
    def _head(repository: Repository, tag: str) -> str:
        """What a tag stands for; empty where only GET can tell, or say why not."""
        try:
            head = repository.head(tag)
        except RegistryFailure as failure:
            if 400 <= failure.status < 500 and failure.status != 429:
                return ""
            raise
        return head.digest if head else ""

    def _here(self, named: Reference, digest: str) -> Pulled | None:
        """The image that this digest brought before, under the tag's name too."""
        database = self._images.database
        by_digest = Reference(named.domain, named.path, "", digest)
        image_id = rows.find_name(database, str(by_digest))
        image = self._images.get(image_id) if image_id else None
        if image is None or not self._fits(image):
            return None
        if not named.tag:
            return Pulled(image.id, digest, image.manifest, changed=False)
        tagged = str(Reference(named.domain, named.path, named.tag))
        before = rows.find_name(database, tagged)
        if before != image.id:
            with self._images.lock:
                rows.set_name(database, rows.NameRow(tagged, image.id, image.manifest), time.time_ns())
        moved = {tagged: before} if before and before != image.id else {}
        return Pulled(image.id, digest, image.manifest, changed=before != image.id, moved=moved)

    def _fits(self, image: Image) -> bool:
        return platforms.matches(image.document.platform(), self._wanted or platforms.host())

    def _accept(self, named: Reference, repository: Repository, *found: str) -> None:
        """Ask the policy of signatures. Raises Forbidden."""
        if self._policy is not None:
            place = Beside(repository)
            signed.check(
                self._policy, named, tuple(dict.fromkeys(found)), lambda digest: attached(place, digest)
            )

    def _for_platform(self, repository: Repository, named: Reference, found: Manifest) -> Manifest:
        seen = set()
        for _ in range(INDEX_DEPTH):
            if not found.is_index:
                return found
            if found.digest in seen:
                raise InvalidParameter(f"index {found.digest} of {named.familiar} leads to itself")
            seen.add(found.digest)
            index = documents.decode(documents.Index, found.data, f"index {found.digest}")
            if len(index.manifests) > INDEX_ENTRIES:
                raise InvalidParameter(
                    f"index {found.digest} of {named.familiar} has {len(index.manifests)} entries, "
                    f"{INDEX_ENTRIES} at most"
                )
            chosen = choose(index, self._wanted or platforms.host(), named)
            found = repository.manifest(digests.check(chosen.digest))
        if found.is_index:
            raise InvalidParameter(f"index in index of {named.familiar} is deeper than {INDEX_DEPTH}")
        return found

    # ------------------------------------------------------------------------------ blobs

    def _bring(
        self, named: Reference, repository: Repository, found: Manifest, names: list[str]
    ) -> Published:
        manifest = documents.decode(documents.Manifest, found.data, f"manifest {found.digest}")
        check(manifest, found.digest)
        with Staging(self._images) as staging:
            self._configuration(staging, named, repository, manifest)
            if not staging.known(found.digest):
                staging.document(found.data)
            self._layers(staging, named, repository, manifest)
            failpoints.hit("pull.layers-here")
            blobs = [layer.digest for layer in manifest.layers]
            return staging.publish([NewImage(manifest.config.digest, blobs, names, found.digest)])[0]

    def _configuration(
        self, staging: Staging, named: Reference, repository: Repository, manifest: documents.Manifest
    ) -> None:
        digest = digests.check(manifest.config.digest)
        if not staging.known(digest):
            data = repository.document(digest, documents.CONFIG_MAX_BYTES)
            if len(data) != manifest.config.size:
                raise Corrupt(
                    f"configuration {digest} is corrupt: it has {len(data)} bytes, not {manifest.config.size}"
                )
            staging.document(data)
        document = self._document(staging, digest)
        found = document.platform()
        if self._wanted is not None and not platforms.matches(found, self._wanted):
            raise NotFound(
                f"image with reference {named.familiar} was found but its platform ({found}) "
                f"does not match the specified platform ({self._wanted})"
            )
        if len(document.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidParameter(
                f"invalid manifest, layers length mismatch: expected {len(document.rootfs.diff_ids)}, "
                f"got {len(manifest.layers)}"
            )

    @staticmethod
    def _document(staging: Staging, digest: str) -> documents.Image:
        data = staging.read(digest, documents.CONFIG_MAX_BYTES)
        return documents.decode(documents.Image, data, f"configuration {digest}")

    def _layers(
        self, staging: Staging, named: Reference, repository: Repository, manifest: documents.Manifest
    ) -> None:
        """All of them, a few at a time; the first failure ends the others."""
        diff_ids = self._document(staging, manifest.config.digest).rootfs.diff_ids
        chain_ids = digests.chain_ids([digests.check(diff_id) for diff_id in diff_ids])
        missing: dict[str, tuple[documents.Descriptor, bool]] = {}
        for layer, chain_id in zip(manifest.layers, chain_ids, strict=True):
            unpacked = rows.get_layer(self._images.database, chain_id) is not None
            if unpacked and staging.known(layer.digest):
                self._say(Progress(status="Already exists", id=short(layer.digest), progress_detail=Detail()))
            elif layer.digest not in missing:
                missing[layer.digest] = (layer, not unpacked)
                self._say(
                    Progress(status="Pulling fs layer", id=short(layer.digest), progress_detail=Detail())
                )
        sources = self._sources(named, repository)
        with ThreadPoolExecutor(self._downloads, thread_name_prefix="pull") as pool:
            futures = [
                pool.submit(self._layer, staging, sources, layer, unpack)
                for layer, unpack in missing.values()
            ]
            all_of(futures, self._job)

    def _layer(
        self, staging: Staging, sources: list[Repository], layer: documents.Descriptor, unpack: bool
    ) -> None:
        watch = Watched(self._job, self._say, short(layer.digest), layer.size)

        def reader(offset: int) -> Generator[bytes, None, None]:
            for position, source in enumerate(sources):
                try:
                    for piece in source.blob(layer.digest, layer.size, offset):
                        offset += len(piece)
                        yield piece
                    return
                except RegistryFailure:
                    self._job.connections.check()
                    if position + 1 == len(sources):
                        raise

        watch.check()
        staging.fetch(layer.digest, layer.size, reader, watch, layer=unpack)
        staging.layer_of(layer.digest)
        self._say(Progress(status="Pull complete", id=short(layer.digest), progress_detail=Detail()))

    def _sources(self, named: Reference, chosen: Repository) -> list[Repository]:
        """Where blobs come from: the manifest's source, and the ones behind it where that is a mirror."""
        if not chosen.session.endpoint.mirror:
            return [chosen]
        listed = self._job.repositories(named)
        bases = [one.session.endpoint.base for one in listed]
        return [chosen, *listed[bases.index(chosen.session.endpoint.base) + 1 :]]

    # ------------------------------------------------------------------------------ words

    def _said(self, named: Reference, what: str, pulled: Pulled) -> None:
        self._say(Progress(status=f"Pulling from {named.path}", id=what))
        self._last(named, pulled)

    def _last(self, named: Reference, pulled: Pulled) -> None:
        self._say(Progress(status=f"Digest: {pulled.digest}"))
        text = "Downloaded newer image for" if pulled.changed else "Image is up to date for"
        self._say(Progress(status=f"Status: {text} {named.familiar}"))


class Beside:
    """A repository as signatures/ needs it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def manifest(self, reference: str) -> bytes | None:
        try:
            return self._repository.manifest(reference).data
        except RegistryFailure as failure:
            if failure.absent:
                return None
            raise

    def referrers(self, digest: str) -> documents.Index:
        return self._repository.referrers(digest)

    def blob(self, digest: str, size: int) -> Iterator[bytes]:
        return self._repository.blob(digest, size)


class Watched:
    """One layer's progress, ten lines a second at most."""

    def __init__(self, job: Job, say: Say, name: str, size: int) -> None:
        self._job = job
        self._say = say
        self._name = name
        self._size = size
        self._last = 0.0

    def check(self) -> None:
        self._job.connections.check()

    def received(self, count: int) -> None:
        now = time.monotonic()
        if now - self._last < INTERVAL_S:
            return
        self._last = now
        detail = Detail(count, self._size)
        self._say(
            Progress(
                status="Downloading", id=self._name, progress=bar(count, self._size), progress_detail=detail
            )
        )

    def complete(self) -> None:
        self._say(Progress(status="Download complete", id=self._name, progress_detail=Detail()))


def short(digest: str) -> str:
    return digest[7:19]


def check(manifest: documents.Manifest, digest: str) -> None:
    """What can be said of a manifest before a byte of its blobs is asked for. Raises InvalidParameter."""
    if manifest.config.media_type not in CONFIGS:
        raise InvalidParameter(
            f"manifest {digest} is no image that can be run: its configuration has the media type "
            f"{manifest.artifact_type or manifest.config.media_type or 'none'}"
        )
    if len(manifest.layers) > LAYERS_MAX:
        raise InvalidParameter(f"max depth exceeded: {len(manifest.layers)} layers, {LAYERS_MAX} at most")
    for layer in manifest.layers:
        digests.check(layer.digest)
        if layer.media_type.endswith("+encrypted"):
            raise InvalidParameter(f"layer {layer.digest} is encrypted ({layer.media_type}): not supported")
        if layer.media_type not in LAYERS:
            raise InvalidParameter(f"layer {layer.digest} has the unknown media type {layer.media_type!r}")
        if layer.size < 0:
            raise InvalidParameter(f"layer {layer.digest} has the size {layer.size}")


def choose(index: documents.Index, wanted: platforms.Platform, named: Reference) -> documents.Descriptor:
    """The entry that serves a platform: exactly, else the usual variant, else one that names no platform.

    Raises NotFound in dockerd's words.
    """
    known = documents.INDEXES | documents.MANIFESTS | {""}
    fitting = [
        entry
        for entry in index.manifests
        if entry.media_type in known
        and (entry.platform is None or platforms.matches(entry.platform.normal(), wanted))
    ]
    fitting.sort(key=lambda entry: _rank(entry, wanted))
    if not fitting:
        raise NotFound(f"no matching manifest for {wanted} in the manifest list entries of {named.familiar}")
    return fitting[0]


def _rank(entry: documents.Descriptor, wanted: platforms.Platform) -> int:
    if entry.platform is None:
        return 2
    return 0 if entry.platform.normal() == wanted else 1


def explained(failure: RegistryFailure, named: Reference) -> Exception:
    """A registry's refusal in the words and with the kind that dockerd has for it."""
    if failure.code == "DENIED":
        return NotFound(
            f"pull access denied for {named.familiar_name}, repository does not exist or may require "
            f"'docker login': {failure.message}"
        )
    if failure.code == "NAME_UNKNOWN":
        return NotFound(f"repository {named.familiar_name} not found: {failure.message}")
    if failure.code == "MANIFEST_UNKNOWN" or failure.status == 404:
        return NotFound(f"manifest for {named.familiar} not found: {failure.message}")
    return failure


def all_of(futures: list[Future[None]], job: Job) -> None:
    """Wait for all; the first failure ends the others, and is raised."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    failed = next((error for error in (future.exception() for future in done) if error), None)
    if failed is not None:
        job.cancel()
        raise failed

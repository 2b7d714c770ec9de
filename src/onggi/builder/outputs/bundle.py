"""What is exported of a build: blobs by digest, and the one that leads to all others.

    bundle = Bundle(job, Settings(...))
    described = bundle.add(document, stack)       one platform's manifest; its configuration and layers
    top = bundle.top([described, ...])            the manifest itself, or an index of several

Documents are small and in memory; layers lie in the store, or (compressed anew, or with other times) in
files that go at the end.
All of it blocks, and is for one thread at a time.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import msgspec

from onggi.builder import epoch
from onggi.builder.remote.places import Open
from onggi.builder.solver.results import Stack
from onggi.errors import InvalidParameter
from onggi.images.commit import pack_snapshot
from onggi.images.compression import Compressor
from onggi.images.layers import pack_layer
from onggi.images.manifests import layer_descriptor
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec.image import Descriptor, Image, PlatformField, RootFS
from onggi.spec.platform import Platform
from onggi.store.blobs import Ingest

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job

COMPRESSIONS = {"uncompressed": "", "gzip": "gzip", "zstd": "zstd"}
ANNOTATION = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)")
KINDS = ("manifest", "manifest-descriptor", "index", "index-descriptor")
DOCKER = {
    documents.OCI_MANIFEST: documents.DOCKER_MANIFEST,
    documents.OCI_INDEX: documents.DOCKER_INDEX,
    documents.OCI_CONFIG: documents.DOCKER_CONFIG,
    documents.OCI_LAYER: documents.DOCKER_LAYER,
    documents.OCI_LAYER_GZIP: documents.DOCKER_LAYER_GZIP,
    documents.OCI_LAYER_ZSTD: documents.DOCKER_LAYER + ".zstd",
}
REWRITTEN_MAX = 4096  # layers that the engine remembers; what is forgotten is packed once more


class Annotation(msgspec.Struct, frozen=True):
    """`platform` None: of every one."""

    kind: str
    key: str
    value: str
    platform: Platform | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`compression`: "" leaves layers as they lie; `force`: also those that are packed in another way."""

    oci: bool = True
    compression: str = ""
    force: bool = False
    annotations: tuple[Annotation, ...] = ()


def annotation(name: str, value: str) -> Annotation | None:
    """An exporter's attribute, `annotation-index.KEY`; None for one that is no annotation.

    Raises InvalidParameter.
    """
    found = ANNOTATION.fullmatch(name)
    if found is None:
        return None
    kind = found[1] or "manifest"
    if kind not in KINDS:
        raise InvalidParameter(f"unrecognized annotation type {kind}")
    return Annotation(kind, found[3], value, platforms.parse(found[2]) if found[2] else None)


class Bundle:
    """A context manager."""

    def __init__(self, job: Job, settings: Settings) -> None:
        self._job = job
        self._images = job.engine.images
        self._settings = settings
        self._temporary: dict[str, Ingest] = {}
        self._packed: dict[tuple[str, int | None], Descriptor] = {}  # chain id, latest time -> its layer here
        self._diff_ids: dict[tuple[str, int | None], str] = {}
        self._stored: set[str] = set()  # blobs of layers as they lie in the store
        self.documents: dict[str, bytes] = {}
        self.manifests: dict[str, Descriptor] = {}  # those of them that are manifests or indexes, from below
        self.layers: dict[str, Descriptor] = {}
        self.images: dict[str, str] = {}  # manifest -> configuration, of the images in it

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        for ingest in self._temporary.values():
            ingest.discard()

    def leave(self) -> None:
        """Nothing of it stays in the store: what was packed for it goes with the build."""
        self._job.packed.update(self._stored)

    def blobs(self) -> list[tuple[str, int]]:
        """Digest and bytes of every blob; layers first, so that a reader finds what a document names."""
        small = [(digest, len(data)) for digest, data in self.documents.items()]
        return [(digest, layer.size) for digest, layer in self.layers.items()] + small

    def opener(self, digest: str) -> Open:
        """How a blob is opened for reading."""
        data = self.documents.get(digest)
        if data is not None:
            return lambda: io.BytesIO(data)
        ingest = self._temporary.get(digest)
        if ingest is not None:
            return lambda: open(ingest.path, "rb", buffering=0)
        return lambda: self._images.blobs.open(digest)

    def document(self, media_type: str, data: bytes) -> Descriptor:
        """Keep a document."""
        digest = digests.of(data)
        self.documents[digest] = data
        found = Descriptor(media_type=self._type(media_type), digest=digest, size=len(data))
        if media_type in (documents.OCI_MANIFEST, documents.OCI_INDEX):
            self.manifests[digest] = found
        return found

    def add(
        self, image: Image, stack: Stack, *, base: Image | None = None, latest_ns: int | None = None
    ) -> Descriptor:
        """One platform's manifest. With `latest_ns` no file of a layer has a later time, but for those of
        `base`, which stay what they are (BuildKit's rewrite-timestamp). Raises Corrupt, NoSpace.
        """
        kept = len(stack.layers) if latest_ns is None else epoch.shared(stack, base)
        wanted = [
            (one.chain_id, None if number < kept else latest_ns) for number, one in enumerate(stack.layers)
        ]
        layers = [self._layer(*one) for one in wanted]
        image = msgspec.structs.replace(
            image, rootfs=RootFS(diff_ids=[self._diff_ids[one] for one in wanted])
        )
        config = self.document(documents.OCI_CONFIG, documents.encode(image))
        platform = image.platform()
        manifest = documents.Manifest(
            schema_version=2, media_type=self._type(documents.OCI_MANIFEST), config=config, layers=layers,
            annotations=self._annotations("manifest", platform),
        )  # fmt: skip
        found = self.document(documents.OCI_MANIFEST, documents.encode(manifest))
        self.images[found.digest] = config.digest
        field = PlatformField(
            architecture=platform.architecture, os=platform.os, variant=platform.variant or ""
        )
        notes = self._annotations("manifest-descriptor", platform)
        return msgspec.structs.replace(found, platform=field, annotations=notes)

    def top(self, manifests: list[Descriptor], *, index: bool = False) -> Descriptor:
        """What leads to all. Raises InvalidParameter for annotations of an index that there is not."""
        if len(manifests) == 1 and not index:
            for one in self._settings.annotations:
                if one.kind in ("index", "manifest-descriptor"):
                    raise InvalidParameter(
                        f"{one.kind} annotations are not supported for single platform export"
                    )
            return msgspec.structs.replace(
                manifests[0], platform=None, annotations=self._annotations("index-descriptor", None)
            )
        whole = documents.Index(
            schema_version=2, media_type=self._type(documents.OCI_INDEX), manifests=manifests,
            annotations=self._annotations("index", None),
        )  # fmt: skip
        found = self.document(documents.OCI_INDEX, documents.encode(whole))
        return msgspec.structs.replace(found, annotations=self._annotations("index-descriptor", None))

    def _annotations(self, kind: str, platform: Platform | None) -> dict[str, str] | None:
        found = {
            one.key: one.value
            for one in self._settings.annotations
            if one.kind == kind and (one.platform is None or one.platform == platform)
        }
        return found or None

    def _type(self, media_type: str) -> str:
        return media_type if self._settings.oci else DOCKER.get(media_type, media_type)

    # -- layers

    def _keep(self, ingest: Ingest) -> str:
        """Until the end of this bundle."""
        digest = ingest.seal()
        before = self._temporary.pop(digest, None)
        if before is not None:
            before.discard()
        self._temporary[digest] = ingest
        return digest

    def _layer(self, chain_id: str, latest_ns: int | None) -> Descriptor:
        known = self._packed.get((chain_id, latest_ns))
        if known is None:
            plain = self._lying(chain_id) if latest_ns is None else self._rewritten(chain_id, latest_ns)
            known = self._wanted(plain)
            self._packed[chain_id, latest_ns] = self.layers[known.digest] = known
        return known

    def _lying(self, chain_id: str) -> Descriptor:
        """A layer's blob of the store."""
        row = pack_layer(self._images, chain_id, pin=self._job.pin)
        self._stored.add(row.blob)
        self._diff_ids[chain_id, None] = row.diff_id
        with self._images.blobs.open(row.blob) as file:
            return layer_descriptor(row.blob, self._images.blobs.size(row.blob), file.read(16))

    def _rewritten(self, chain_id: str, latest_ns: int) -> Descriptor:
        """A layer's files packed anew, with other times; once, as long as the store has what came of it."""
        known = self._job.builder.rewritten.get((chain_id, latest_ns))
        if known is not None:
            self._job.pin(known)
            if self._images.blobs.exists(known):
                self._diff_ids[chain_id, latest_ns] = known
                size = self._images.blobs.size(known)
                return Descriptor(media_type=documents.OCI_LAYER, digest=known, size=size)
        ingest = self._images.blobs.ingest()
        try:
            pack_snapshot(self._images, chain_id, ingest, latest_ns=latest_ns)
            digest = self._keep(ingest)
        except BaseException:
            ingest.discard()
            raise
        self._diff_ids[chain_id, latest_ns] = digest
        _remember(self._job.builder.rewritten, (chain_id, latest_ns), digest)
        return Descriptor(media_type=documents.OCI_LAYER, digest=digest, size=ingest.offset)

    def _wanted(self, layer: Descriptor) -> Descriptor:
        """Compressed as the client wants it."""
        wanted = documents.LAYER_TYPES[self._settings.compression or "none"]
        plain = layer.media_type == documents.OCI_LAYER
        if self._settings.compression and layer.media_type != wanted and (plain or self._settings.force):
            layer = self._compressed(layer)
        return msgspec.structs.replace(layer, media_type=self._type(layer.media_type))

    def _compressed(self, layer: Descriptor) -> Descriptor:
        from onggi.images.compression import decompress

        ingest = self._images.blobs.ingest()
        try:
            with self.opener(layer.digest)() as file:
                plain = decompress(file)
                packer = Compressor(ingest, self._settings.compression)
                while data := plain.read(1 << 20):
                    packer.write(data)
                packer.close()
            digest = self._keep(ingest)
        except BaseException:
            ingest.discard()
            raise
        kind = documents.LAYER_TYPES[self._settings.compression]
        return Descriptor(media_type=kind, digest=digest, size=ingest.offset)


def _remember(rewritten: dict[tuple[str, int], str], key: tuple[str, int], digest: str) -> None:
    """The oldest is forgotten where there are too many."""
    rewritten[key] = digest
    while len(rewritten) > REWRITTEN_MAX:
        rewritten.pop(next(iter(rewritten)), None)

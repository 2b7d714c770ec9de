"""Export of a build cache: the results of one build, under their keys, with the layers that they end in.

    chosen(job, tops, mode)          min: results that are layers of the image; max: all of the build
    export(job, target, ...)         blobs, the configuration, and last the manifest: the commit point
    inline(job, stack, results)      the same inside an image's configuration: its own layers, and keys

Cache mounts are exported where the client asks for it (`mounts=true`, Onggi's own): they may hold what a
package manager was given to keep, so never by themselves.
"""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.executors.made import Made
from onggi.builder.remote import config as documents
from onggi.builder.remote.places import Open, Target
from onggi.builder.solver.results import Stack
from onggi.errors import InvalidParameter
from onggi.images.compression import Compressor
from onggi.images.layers import pack_layer
from onggi.images.manifests import layer_descriptor
from onggi.images.pack import pack
from onggi.spec import digest as digests
from onggi.spec import image as images_
from onggi.spec import timestamp
from onggi.store import build_cache as rows
from onggi.store.blobs import Ingest

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job

COMPRESSIONS = {"uncompressed": "", "gzip": "gzip", "zstd": "zstd"}
TRUTHS = {"": False, "true": True, "1": True, "false": False, "0": False}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `--cache-to` says beside the place."""

    mode: str = "min"
    image_manifest: bool = True
    oci: bool = True
    compression: str = ""  # "": as the layers lie
    mounts: bool = False
    ignore_error: bool = False


class Kept(msgspec.Struct, frozen=True):
    """One result that is exported."""

    key: str
    outputs: dict[int, Stack]
    created_at: int


def options(attrs: dict[str, str], *, place: tuple[str, ...]) -> Options:
    """Attributes of one `--cache-to`; `place` are those that say where. Raises InvalidParameter."""
    left = {name: value for name, value in attrs.items() if name not in place}
    mode = left.pop("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidParameter(f"unsupported cache export mode {mode!r}: min or max")
    compression = left.pop("compression", "uncompressed")
    if compression not in COMPRESSIONS:
        raise InvalidParameter(f"unsupported compression {compression!r}: {', '.join(COMPRESSIONS)}")
    oci = truth("oci-mediatypes", left.pop("oci-mediatypes", "true"))
    found = Options(
        mode=mode, oci=oci, compression=COMPRESSIONS[compression],
        image_manifest=truth("image-manifest", left.pop("image-manifest", "true" if oci else "false")),
        mounts=truth("mounts", left.pop("mounts", "")),
        ignore_error=truth("ignore-error", left.pop("ignore-error", "")),
    )  # fmt: skip
    if found.image_manifest and not oci:
        raise InvalidParameter("image-manifest=true needs oci-mediatypes=true")
    if left:
        raise InvalidParameter(f"cache export: attribute {next(iter(left))!r} is not known here")
    return found


def truth(name: str, value: str) -> bool:
    """Raises InvalidParameter."""
    try:
        return TRUTHS[value.lower()]
    except KeyError:
        raise InvalidParameter(f"{name}: {value!r} is neither true nor false") from None


def chosen(job: Job, tops: list[Stack], mode: str) -> list[Kept]:
    """The results of a build that are kept. Blocking."""
    own = {layer.chain_id for top in tops for layer in top.layers}
    found = []
    for made in job.made.values():
        stacks = {number: one for number, one in made.outputs.items() if isinstance(one, Stack)}
        if not made.record_id or (mode == "min" and not all(one.top in own for one in stacks.values())):
            continue
        found += [
            Kept(key, stacks, _created(made)) for key in rows.keys(job.builder.cache.database, made.record_id)
        ]
    return found


def _created(made: Made) -> int:
    return made.created_at or time.time_ns()


def inline(stack: Stack, kept: list[Kept]) -> str | None:
    """`moby.buildkit.cache.v0` for an image of this stack; None where it would say nothing."""
    places = {layer.chain_id: number for number, layer in enumerate(stack.layers)}
    records = []
    for one in kept:
        for number, tree in one.outputs.items():
            if tree.top in places:
                result = documents.Result(places[tree.top], timestamp.text(one.created_at))
                records.append(documents.Record(documents.record_digest(one.key, number), [result]))
    if not records:
        return None
    return base64.b64encode(msgspec.json.encode(sorted(records, key=lambda record: record.digest))).decode()


async def export(job: Job, target: Target, kept: list[Kept], options: Options) -> images_.Descriptor | None:
    """Bring it there; the manifest's descriptor, None where there is nothing to export. Raises what the place
    raises.
    """
    work = job.builder.work
    made = _Export(job, options)
    await work(made.collect, kept)
    try:
        if options.mounts:
            await work(made.mounts)
        if not made.layers:
            return None
        for blob in made.blobs.values():
            await target.blob(blob.digest, blob.size, made.opener(blob.digest))
        config = await work(made.config)
        await target.blob(config.digest, config.size, made.opener(config.digest))
        media_type, data = made.manifest(config)
        await target.manifest(media_type, data)
        return images_.Descriptor(media_type=media_type, digest=digests.of(data), size=len(data))
    finally:
        await work(made.close)


class _Export:
    """Blocking."""

    def __init__(self, job: Job, options: Options) -> None:
        self._job = job
        self._options = options
        self._images = job.engine.images
        self._places: dict[str, int] = {}  # chain id -> index in layers
        self._temporary: dict[str, Ingest] = {}  # blobs that are made for this export alone
        self._records: list[documents.Record] = []
        self._mounts: list[documents.Mount] = []
        self.layers: list[documents.Layer] = []
        self.blobs: dict[str, images_.Descriptor] = {}

    def collect(self, kept: list[Kept]) -> None:
        for one in sorted(kept, key=lambda each: each.key):
            for number, stack in one.outputs.items():
                digest = documents.record_digest(one.key, number)
                at = timestamp.text(one.created_at)
                if stack.layers:
                    result = documents.Result(self._layers(stack), at)
                    self._records.append(documents.Record(digest, [result]))
                else:
                    self._records.append(documents.Record(digest, [], [documents.Chain([], at)]))

    def _layers(self, stack: Stack) -> int:
        """The index of the uppermost one."""
        index = -1
        for layer in stack.layers:
            known = self._places.get(layer.chain_id)
            if known is None:
                packed = pack_layer(self._images, layer.chain_id, pin=self._job.pin)
                self._job.packed.add(packed.blob)
                blob = self._described(packed.blob, packed.diff_id)
                known = self._places[layer.chain_id] = len(self.layers)
                self.layers.append(documents.Layer(blob, index))
            index = known
        return index

    def _described(self, blob: str, diff_id: str) -> str:
        with self._images.blobs.open(blob) as file:
            found = layer_descriptor(blob, self._images.blobs.size(blob), file.read(16))
        if self._options.compression and found.media_type == images_.OCI_LAYER:
            found = self._compressed(blob)
        kept = msgspec.structs.replace(found, annotations={documents.DIFF_ID: diff_id})
        self.blobs[kept.digest] = kept
        return kept.digest

    def _compressed(self, blob: str) -> images_.Descriptor:
        with self._images.blobs.open(blob) as file:
            ingest = self._images.blobs.ingest()
            packer = Compressor(ingest, self._options.compression)
            while data := file.read(1 << 20):
                packer.write(data)
            packer.close()
        return self._kept(ingest, images_.LAYER_TYPES[self._options.compression])

    def _kept(self, ingest: Ingest, media_type: str) -> images_.Descriptor:
        digest = ingest.seal()
        before = self._temporary.pop(digest, None)
        if before is not None:
            before.discard()
        self._temporary[digest] = ingest
        return images_.Descriptor(media_type=media_type, digest=digest, size=ingest.offset)

    def mounts(self) -> None:
        """The directories of the build's cache mounts, each as a layer that no result leads to."""
        for id, path in sorted(self._job.mounts.items()):
            ingest = self._images.blobs.ingest()
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                pack(fd, ingest)
            finally:
                os.close(fd)
            found = self._kept(ingest, images_.OCI_LAYER)
            annotations = {documents.DIFF_ID: found.digest}
            self.blobs[found.digest] = msgspec.structs.replace(found, annotations=annotations)
            self._mounts.append(documents.Mount(id, len(self.layers)))
            self.layers.append(documents.Layer(found.digest, -1))

    def config(self) -> images_.Descriptor:
        data = msgspec.json.encode(documents.Config(self.layers, self._records, self._mounts))
        ingest = self._images.blobs.ingest()
        ingest.write(data)
        return self._kept(ingest, documents.MEDIA_TYPE)

    def manifest(self, config: images_.Descriptor) -> tuple[str, bytes]:
        """Media type and bytes."""
        layers = list(self.blobs.values())
        if self._options.image_manifest:
            whole: images_.Manifest | images_.Index = images_.Manifest(
                schema_version=2, media_type=images_.OCI_MANIFEST, config=config, layers=layers
            )
        else:
            kind = images_.OCI_INDEX if self._options.oci else images_.DOCKER_INDEX
            whole = images_.Index(schema_version=2, media_type=kind, manifests=[*layers, config])
        return whole.media_type, images_.encode(whole)

    def opener(self, digest: str) -> Open:
        """How a blob is opened for reading."""
        ingest = self._temporary.get(digest)
        if ingest is not None:
            return lambda: open(ingest.path, "rb", buffering=0)
        return lambda: self._images.blobs.open(digest)

    def close(self) -> None:
        for ingest in self._temporary.values():
            ingest.discard()

"""Import of a build cache: what a place has is looked up by the keys that this build comes to.

    read(job, source) -> Imported           the documents alone; raises where there is no cache
    take(job, vertex, key) -> Made          a result whose layers were brought, unpacked and recorded

Only layers that are wanted and not here are brought. A layer that is not what the cache says fails the step's
look-up, not the build: the step runs. What is taken is believed as far as the cache is, like a base image.
Failpoints: remote.layer-unpacked, remote.layer-committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.builder.executors.made import Made
from onggi.builder.graph import Exec, FileOp, Vertex
from onggi.builder.remote import config as documents
from onggi.builder.remote.config import Blob, Known, Results
from onggi.builder.remote.places import Source
from onggi.builder.solver.results import EMPTY, Result, Stack
from onggi.errors import InvalidParameter, NotFound, OnggiError
from onggi.images.unpacking import Unpacking
from onggi.spec import digest as digests
from onggi.spec import image as images_
from onggi.spec import timestamp
from onggi.store import build_cache as cache_rows
from onggi.store import images as rows
from onggi.store.images import LayerRow

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job
    from onggi.builder.solver.keys import Key

MANIFESTS_MAX = 64  # of an index, whose images may each hold a cache
log = logging.getLogger(__name__)


class Imported(msgspec.Struct, frozen=True):
    """One place's cache; several images of an index are several Results."""

    source: Source
    results: tuple[Results, ...]

    def mount(self, id: str) -> Blob | None:
        """The exported directory of a cache mount."""
        return next((found for one in self.results if (found := one.mounts.get(id)) is not None), None)


# -- reading


async def read(source: Source) -> Imported:
    """Raises NotFound (there is none), InvalidParameter, Corrupt, and what the source raises."""
    data = await source.top()
    found = await _results(source, data, depth=0)
    if not found:
        raise NotFound(f"{source.name}: no build cache is in it")
    return Imported(source, tuple(found))


async def _results(source: Source, data: bytes, *, depth: int) -> list[Results]:
    if not is_index(data):
        return await _of_manifest(source, data)
    index = images_.decode(images_.Index, data, f"cache index of {source.name}")
    config = next((one for one in index.manifests if one.media_type == documents.MEDIA_TYPE), None)
    if config is not None:
        return [await _exported(source, config, index.manifests)]
    found: list[Results] = []
    for entry in index.manifests[:MANIFESTS_MAX] if depth < 2 else ():
        inner = await source.document(entry.digest, entry.size, images_.DOCUMENT_MAX_BYTES)
        found += await _results(source, inner, depth=depth + 1)
    return found


async def _of_manifest(source: Source, data: bytes) -> list[Results]:
    manifest = images_.decode(images_.Manifest, data, f"cache manifest of {source.name}")
    if manifest.config.media_type == documents.MEDIA_TYPE:
        return [await _exported(source, manifest.config, manifest.layers)]
    if not manifest.layers or manifest.config.media_type not in (images_.OCI_CONFIG, images_.DOCKER_CONFIG):
        return []
    text = await source.document(manifest.config.digest, manifest.config.size, images_.CONFIG_MAX_BYTES)
    found = of_image(text, manifest.layers)
    return [found] if found is not None else []


async def _exported(source: Source, config: images_.Descriptor, layers: list[images_.Descriptor]) -> Results:
    data = await source.document(config.digest, config.size, documents.DOCUMENT_MAX_BYTES)
    return Results(documents.decode(data), {one.digest: one for one in layers})


def of_image(config: bytes, layers: list[images_.Descriptor]) -> Results | None:
    """The cache inside an image's configuration, if there is one. Raises InvalidParameter."""
    try:
        found = msgspec.json.decode(config, type=documents.InlineImage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid image configuration: {error}") from None
    if not found.cache or len(found.rootfs.diff_ids) != len(layers):
        return None
    described = [documents.Layer(one.digest, number - 1) for number, one in enumerate(layers)]
    whole = documents.Config(layers=described, records=documents.inline(found.cache))
    diff_ids = zip(layers, found.rootfs.diff_ids, strict=True)
    return Results(whole, {one.digest: _with_diff_id(one, diff_id) for one, diff_id in diff_ids})


def _with_diff_id(one: images_.Descriptor, diff_id: str) -> images_.Descriptor:
    return msgspec.structs.replace(one, annotations={documents.DIFF_ID: diff_id})


class _Kind(msgspec.Struct, frozen=True):
    manifests: msgspec.Raw = msgspec.Raw()


def is_index(data: bytes) -> bool:
    """Whether a document lists manifests. Raises InvalidParameter for what is no document."""
    try:
        return bytes(msgspec.json.decode(data, type=_Kind).manifests) not in (b"", b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid manifest: {error}") from None


# -- taking


async def take(job: Job, vertex: Vertex, key: Key) -> Made | None:
    """What the imported caches have under a key, as a record of the own cache from now on."""
    numbers = _outputs(vertex)
    for imported in job.imported:
        for results in imported.results:
            known = {number: results.get(key.digest, number) for number in numbers}
            if any(one is None for one in known.values()):
                continue
            try:
                return await _brought(job, vertex, key, imported.source, known)
            except (OnggiError, OSError) as error:
                log.warning("cache %s: %s is not usable: %s", imported.source.name, vertex.meta.name, error)
    return None


def _outputs(vertex: Vertex) -> list[int]:
    """The numbers of the outputs that an op offers."""
    match vertex.op:
        case Exec():
            return [mount.output for mount in vertex.op.mounts if mount.output >= 0]
        case FileOp():
            return [action.output for action in vertex.op.actions if action.output >= 0]
    return [0]


async def _brought(
    job: Job, vertex: Vertex, key: Key, source: Source, known: dict[int, Known | None]
) -> Made:
    outputs: dict[int, Result] = {}
    brought: list[LayerRow] = []
    created_at = 0
    for number, one in known.items():
        assert one is not None
        outputs[number] = await stack(job, source, one, brought)
        created_at = max(created_at, timestamp.parse(one.created_at))
    stacks = {number: one for number, one in outputs.items() if isinstance(one, Stack)}
    work = job.builder.work
    record_id = await work(_record, job, vertex, key, stacks, brought, created_at)
    return Made(outputs=outputs, record_id=record_id, created_at=created_at, cached=True)


def _record(
    job: Job, vertex: Vertex, key: Key, stacks: dict[int, Stack], brought: list[LayerRow], created_at: int
) -> str:
    """Blocking. The record keeps the packed layers, too: packed here they might get other bytes."""
    cache = job.builder.cache
    record_id = cache.save(
        key.digest, vertex=vertex.digest, name=vertex.meta.name, outputs=stacks, parts=key.parts,
        parents=(), disk_bytes=sum(layer.size for layer in brought), created_at=created_at,
    )  # fmt: skip
    cache_rows.used(cache.database, record_id, time.time_ns())
    for layer in brought:
        cache_rows.keep(cache.database, record_id, "blob", layer.blob)
    job.use(record_id)
    for stack in stacks.values():
        job.dated(stack, created_at)
    return record_id


async def stack(job: Job, source: Source, known: Known, brought: list[LayerRow]) -> Stack:
    """The layers; those that were not here are added to `brought`. Raises Corrupt, BadArchive, NoSpace,
    and what the source raises.
    """
    found = EMPTY
    for blob in known.layers:
        chain_id = digests.chain_ids([found.top, blob.diff_id])[1] if found.top else blob.diff_id
        row = await job.builder.work(_here, job, chain_id)
        if row is None:
            async with job.builder.layer_locks.setdefault(chain_id, asyncio.Lock()):
                row = await job.builder.work(_here, job, chain_id)
                if row is None:
                    row = await _layer(job, source, blob, found, chain_id)
                    brought.append(row)
        found = found.on(row)
    return found


def _here(job: Job, chain_id: str) -> LayerRow | None:
    images = job.engine.images
    with images.lock:
        row = rows.get_layer(images.database, chain_id)
        if row is not None:
            job.pin(chain_id)
            if row.blob:
                job.pin(row.blob)
        return row


async def _layer(job: Job, source: Source, blob: Blob, below: Stack, chain_id: str) -> LayerRow:
    """One layer, brought and unpacked. Raises Corrupt, BadArchive, NoSpace."""
    work = job.builder.work
    coming = await work(_Coming, job, blob, below)
    try:
        await source.blob(blob.digest, blob.size, coming.write)
        return await work(coming.commit, chain_id)
    except BaseException:
        await work(coming.discard)
        raise


class _Coming:
    """A layer on its way: into the store as it is, and unpacked into a snapshot. Blocking."""

    def __init__(self, job: Job, blob: Blob, below: Stack) -> None:
        images = job.engine.images
        self._job = job
        self._blob = blob
        self._below = below
        job.pin(blob.digest)
        self._ingest = images.blobs.ingest(blob.digest)
        self._worker: Unpacking | None = Unpacking(images, "" if images.snapshots.stackable else below.top)

    def write(self, data: bytes) -> None:
        assert self._worker is not None
        self._ingest.write(data)
        self._worker.write(data)
        self._worker.check()

    def commit(self, chain_id: str) -> LayerRow:
        """Commit points: the blob's rename, then the layer's row."""
        job, below = self._job, self._below
        store = job.engine.images
        self._ingest.seal()
        assert self._worker is not None
        worker, self._worker = self._worker, None
        unpacked = worker.finish(self._blob.digest)
        failpoints.hit("remote.layer-unpacked")
        try:
            if unpacked.diff_id != self._blob.diff_id:
                raise InvalidParameter(
                    f"invalid diffID for cached layer {self._blob.digest}: "
                    f"expected {self._blob.diff_id!r}, got {unpacked.diff_id!r}"
                )
            job.pin(chain_id)
            row = LayerRow(chain_id, below.top or None, unpacked.diff_id, self._blob.digest, unpacked.size)
            with store.lock:
                self._ingest.commit()
                with store.database.transaction():
                    known = rows.get_layer(store.database, chain_id)
                    if known is not None:
                        return known
                    store.snapshots.commit(
                        unpacked.key, chain_id, below.top if store.snapshots.stackable else ""
                    )
                    rows.add_layer(store.database, row)
            failpoints.hit("remote.layer-committed")
            return row
        finally:
            store.snapshots.remove(unpacked.key)  # gone already where it was committed

    def discard(self) -> None:
        self._ingest.discard()
        if self._worker is not None:
            worker, self._worker = self._worker, None
            worker.abandon()

"""Images out of OCI layouts at the client: `--build-context base=oci-layout://DIRECTORY[:TAG][@DIGEST]`.

The client's content store is read by digest: the manifest (of an index that of the platform), the
configuration, and those layers that are not here. They stay as a record of the build cache.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from onggi.builder.plan.bases import Base
from onggi.builder.remote import importing
from onggi.builder.remote.config import Blob, Known
from onggi.builder.remote.places import Source
from onggi.builder.solver.results import Stack
from onggi.engine.images.fitting import choose
from onggi.errors import InvalidParameter
from onggi.images import media_types
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.image import Descriptor
from onggi.spec.platform import Platform
from onggi.store import build_cache as cache_rows
from onggi.store.images import LayerRow

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job

INDEX_DEPTH = 4


async def base(job: Job, reference: str, platform: Platform) -> Base:
    """`reference` is STORE[:TAG]@DIGEST. Raises NotFound, Corrupt, InvalidParameter, NoSpace."""
    store, _, digest = reference.partition("@")
    source = job.client.layout(store.partition(":")[0], digests.check(digest))
    manifest = await _manifest(source, digest, platform)
    config = manifest.config
    data = await source.document(config.digest, config.size, documents.CONFIG_MAX_BYTES)
    image = documents.decode(documents.Image, data, f"configuration {config.digest}")
    if len(image.rootfs.diff_ids) != len(manifest.layers):
        raise InvalidParameter(
            f"{reference}: {len(manifest.layers)} layers for {len(image.rootfs.diff_ids)} diff ids"
        )
    pairs = zip(manifest.layers, image.rootfs.diff_ids, strict=True)
    layers = tuple(
        Blob(digests.check(one.digest), one.size, digests.check(diff_id)) for one, diff_id in pairs
    )
    brought: list[LayerRow] = []
    stack = await importing.stack(job, source, Known(layers), brought)
    await job.builder.work(_record, job, reference, stack, brought)
    job.layouts[f"{store}@{digest}"] = stack
    return Base(reference=reference, image=image)


async def _manifest(source: Source, digest: str, platform: Platform) -> documents.Manifest:
    found = Descriptor(digest=digest, size=0)
    for _ in range(INDEX_DEPTH):
        data = await source.document(found.digest, found.size, documents.DOCUMENT_MAX_BYTES)
        if not importing.is_index(data):
            manifest = documents.decode(documents.Manifest, data, f"manifest {found.digest}")
            media_types.check(manifest, found.digest)
            return manifest
        index = documents.decode(documents.Index, data, f"index {found.digest}")
        found = choose(index, platform, references.parse("oci-layout"))
    raise InvalidParameter(f"index {digest} is deeper than {INDEX_DEPTH}")


def _record(job: Job, reference: str, stack: Stack, brought: list[LayerRow]) -> None:
    if not brought:
        return
    cache = job.builder.cache
    record_id = cache.save(
        f"oci-layout {stack.top}", vertex="", name=f"image of oci-layout://{reference}", outputs={0: stack},
        parts=(), parents=(), disk_bytes=sum(layer.size for layer in brought), created_at=time.time_ns(),
    )  # fmt: skip
    for layer in brought:
        cache_rows.keep(cache.database, record_id, "blob", layer.blob)
    job.use(record_id)

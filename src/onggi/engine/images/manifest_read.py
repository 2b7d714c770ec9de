"""`docker manifest inspect` of a registry: a manifest, or those of a list, with their platforms.

A list is read as Docker's client reads it: each of its manifests is asked for, and verified. Nothing is
kept. The engine asks, so its mirrors, certificates and `--offline` hold.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.images import descriptors
from onggi.errors import Corrupt, InvalidParameter, NotFound
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.reference import Reference
from onggi.wire.images import OCIDescriptor, OCIPlatform
from onggi.wire.manifests import RegistryManifest, RegistryManifests

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.repository import Manifest, Repository

ENTRIES_MAX = 1000


async def manifest_read(
    engine: Engine, name: str, *, insecure: bool = False, auth: str = ""
) -> RegistryManifests:
    """Raises InvalidParameter, NotFound, RegistryFailure."""
    from onggi.registry.credentials import from_header
    from onggi.registry.failures import RegistryFailure

    named = references.parse(name).tagged()
    registries = engine.transfers.registries(engine.config)
    job = registries.job(from_header(auth), insecure=named.domain if insecure else "")

    def work() -> RegistryManifests:
        with job:
            try:
                return job.first(named, lambda one: _read(one, named))[1]
            except RegistryFailure as failure:
                if failure.absent:
                    raise NotFound(f"no such manifest: {named}") from None
                raise

    return await engine.offload(work)


def _read(repository: Repository, named: Reference) -> RegistryManifests:
    found = repository.manifest(named.digest or named.tag)
    if not found.is_index:
        return RegistryManifests(manifests=[_one(repository, named, found)])
    index = documents.decode(documents.Index, found.data, f"index {found.digest}")
    if len(index.manifests) > ENTRIES_MAX:
        raise InvalidParameter(
            f"manifest list {named} has {len(index.manifests)} entries, more than {ENTRIES_MAX}"
        )
    listed = []
    for entry in index.manifests:
        at = Reference(named.domain, named.path, named.tag, entry.digest)
        manifest = repository.manifest(entry.digest)
        if manifest.is_index:
            raise InvalidParameter(f"manifest list {named}: {entry.digest} is itself a manifest list")
        platform = descriptors.platform(entry.platform or documents.PlatformField())
        listed.append(_one(repository, at, manifest, platform))
    return RegistryManifests(list_=True, manifests=listed)


def _one(
    repository: Repository, named: Reference, found: Manifest, platform: OCIPlatform | None = None
) -> RegistryManifest:
    manifest = documents.decode(documents.Manifest, found.data, f"manifest {found.digest}")
    if platform is None:
        data = repository.document(manifest.config.digest, documents.CONFIG_MAX_BYTES)
        try:
            platform = descriptors.platform(msgspec.json.decode(data, type=documents.PlatformField))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Corrupt(f"configuration {manifest.config.digest} is not valid: {error}") from None
    descriptor = OCIDescriptor(
        media_type=found.media_type, digest=found.digest, size=len(found.data), platform=platform
    )
    return RegistryManifest(ref=str(named), descriptor=descriptor, raw=base64.b64encode(found.data).decode())

"""`docker inspect` of what is in a registry, without pulling it: descriptor and platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.images import descriptors
from onggi.engine.images.refusals import explained
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.wire.images import DistributionInspect, OCIDescriptor, OCIPlatform

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.repository import Repository


async def distribution(engine: Engine, name: str, *, auth: str = "") -> DistributionInspect:
    """Raises InvalidParameter, NotFound, RegistryFailure."""
    from onggi.registry.credentials import from_header
    from onggi.registry.failures import RegistryFailure

    named = references.parse(name).tagged()
    job = engine.transfers.registries(engine.config).job(from_header(auth))

    def work() -> DistributionInspect:
        with job:
            try:
                return job.first(named, lambda one: look(one, named.digest or named.tag))[1]
            except RegistryFailure as failure:
                raise explained(failure, named) from None

    return await engine.offload(work)


def look(repository: Repository, reference: str) -> DistributionInspect:
    """What a manifest or an index says of itself; a single manifest's platform is in its configuration."""
    found = repository.manifest(reference)
    descriptor = OCIDescriptor(media_type=found.media_type, digest=found.digest, size=len(found.data))
    platforms: list[OCIPlatform] = []
    if found.is_index:
        index = documents.decode(documents.Index, found.data, f"index {found.digest}")
        platforms += [
            descriptors.platform(one.platform) for one in index.manifests if one.platform is not None
        ]
        return DistributionInspect(descriptor=descriptor, platforms=platforms)
    manifest = documents.decode(documents.Manifest, found.data, f"manifest {found.digest}")
    if manifest.config.media_type in (documents.OCI_CONFIG, documents.DOCKER_CONFIG):
        data = repository.document(manifest.config.digest, documents.CONFIG_MAX_BYTES)
        image = documents.decode(documents.Image, data, f"configuration {manifest.config.digest}")
        platforms.append(
            OCIPlatform(architecture=image.architecture, os=image.os, variant=image.variant or "")
        )
    return DistributionInspect(descriptor=descriptor, platforms=platforms)

"""What refers to an image: signatures, attestations, bills of materials. Listed, pulled and pushed with it.

They are artifacts whose manifest has the image's as its `subject` (OCI image-spec 1.1). A registry lists them
by its referrers API, or by the tag `sha256-HEX` where it has none (distribution-spec 1.1, "Referrers Tag
Schema"). What refers to one of them comes along, REFERRERS_MAX in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from onggi.engine.images.refusals import explained
from onggi.errors import InvalidParameter
from onggi.images.images import Images
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.reference import Reference
from onggi.store import images as rows
from onggi.wire.images import OCIDescriptor

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.repository import Repository

REFERRERS_MAX = 100
COSIGN_SUFFIXES = (".sig", ".att", ".sbom")


async def referrers(
    engine: Engine, name: str, *, artifact_type: str = "", auth: str = ""
) -> list[OCIDescriptor]:
    """What the registry has. Raises InvalidParameter, NotFound, RegistryFailure."""
    from onggi.registry.credentials import from_header
    from onggi.registry.failures import RegistryFailure

    named = references.parse(name).tagged()
    job = engine.transfers.registries(engine.config).job(from_header(auth))

    def ask(repository: Repository) -> documents.Index:
        digest = named.digest or repository.manifest(named.tag).digest
        return repository.referrers(digest, artifact_type)

    def work() -> documents.Index:
        with job:
            try:
                return job.first(named, ask)[1]
            except RegistryFailure as failure:
                raise explained(failure, named) from None

    index = await engine.offload(work)
    wanted = [one for one in index.manifests if artifact_type in ("", one.artifact_type or "")]
    return [
        OCIDescriptor(
            media_type=one.media_type,
            digest=one.digest,
            size=one.size,
            annotations=one.annotations,
            artifact_type=one.artifact_type,
        )
        for one in wanted
    ]


def each(named: Reference, digests: list[str], list_: Callable[[str], list[str]]) -> Iterator[Reference]:
    """What refers to these, and to what refers to them, each once. Raises InvalidParameter for too many."""
    seen = set(digests)
    waiting = list(digests)
    while waiting:
        for digest in list_(waiting.pop(0)):
            if digest in seen:
                continue
            if len(seen) >= REFERRERS_MAX:
                raise InvalidParameter(
                    f"more than {REFERRERS_MAX} artifacts refer to {named.familiar}, and to one another"
                )
            seen.add(digest)
            waiting.append(digest)
            yield named.with_digest(digest)


def cosign_tags(digests: list[str]) -> list[str]:
    """Where cosign keeps what belongs to a manifest, beside the referrers API and before it."""
    return [digest.replace(":", "-") + suffix for digest in digests for suffix in COSIGN_SUFFIXES]


def local_tags(images: Images, digests: list[str]) -> list[tuple[str, str]]:
    """(tag, manifest) of those that are here, from whichever repository."""
    wanted = set(cosign_tags(digests))
    found = {references.parse(row.name).tag: row.digest for row in rows.names(images.database)}
    return sorted((tag, digest) for tag, digest in found.items() if tag in wanted)


def local(images: Images, digest: str) -> list[str]:
    """The artifacts in the store that refer to a manifest."""
    listed = [row.manifest for row in rows.list_(images.database) if row.kind == rows.ARTIFACT]
    return [one for one in listed if _subject(images, one) == digest]


def _subject(images: Images, manifest: str) -> str:
    data = images.blobs.read(manifest, documents.DOCUMENT_MAX_BYTES)
    subject = documents.decode(documents.Manifest, data, f"manifest {manifest}").subject
    return subject.digest if subject is not None else ""

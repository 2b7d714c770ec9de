"""What lies beside an image in its repository: cosign's tag, and artifacts that refer to it.

All of it is foreign: counts and sizes are bounded, and a document that cannot be read is no signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from onggi.errors import Corrupt
from onggi.signatures.sigstore import BUNDLES, COSIGN, Attachment
from onggi.spec import digest as digests
from onggi.spec import image as documents

ATTACHMENTS_MAX = 64
ATTACHMENT_BYTES = 1 << 20


class Place(Protocol):
    """A repository, as far as signatures need it."""

    def manifest(self, reference: str) -> bytes | None:
        """By tag or digest; None where there is none."""
        ...

    def referrers(self, digest: str) -> documents.Index:
        """What refers to a manifest; an index without manifests where nothing does."""
        ...

    def blob(self, digest: str, size: int) -> Iterable[bytes]: ...


def attached(place: Place, digest: str) -> Iterator[Attachment]:
    """Every signature beside the manifest or index of this digest. Raises what `place` raises, Corrupt."""
    left = ATTACHMENTS_MAX
    manifest = place.manifest(digest.replace(":", "-") + ".sig")
    if manifest is not None:
        for layer in documents.decode(documents.Manifest, manifest, f"signatures of {digest}").layers[:left]:
            if layer.media_type == COSIGN:
                left -= 1
                yield Attachment(layer.media_type, _small(place, layer), layer.annotations or {})
    for descriptor in place.referrers(digest).manifests[:left]:
        if descriptor.artifact_type in BUNDLES:
            yield from _bundles(place, descriptor.digest)


def _bundles(place: Place, digest: str) -> Iterator[Attachment]:
    data = place.manifest(digest)
    if data is None:
        return
    for layer in documents.decode(documents.Manifest, data, f"manifest {digest}").layers[:1]:
        if layer.media_type in BUNDLES:
            yield Attachment(layer.media_type, _small(place, layer))


def _small(place: Place, layer: documents.Descriptor) -> bytes:
    if layer.size > ATTACHMENT_BYTES:
        raise Corrupt(f"signature {layer.digest} has {layer.size} bytes, {ATTACHMENT_BYTES} at most")
    data = b""
    for piece in place.blob(layer.digest, layer.size):
        data += piece
        if len(data) > layer.size:
            break
    if digests.of(data) != layer.digest:
        raise Corrupt(f"signature {layer.digest} is corrupt: its bytes have digest {digests.of(data)}")
    return data

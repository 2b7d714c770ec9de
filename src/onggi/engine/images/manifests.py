"""The manifests of an image as the API tells them: each platform, whether it is here, and what it takes."""

from __future__ import annotations

import msgspec

from onggi.engine.images import descriptors
from onggi.images.images import Image, Images
from onggi.images.indexes import ATTESTED, Entry, available, contents, entries
from onggi.images.layout import descriptor as describe
from onggi.spec import image as documents
from onggi.store import containers
from onggi.wire.images import (
    ImageDataSize,
    ImageManifestSummary,
    ManifestsAttestationData,
    ManifestsImageData,
    ManifestsSize,
    OCIDescriptor,
)


def target(images: Images, image: Image, index: str) -> OCIDescriptor:
    """What the name stands for: an index, or the image's manifest. Raises Corrupt."""
    return descriptors.told(describe(images, index or image.manifest, None))


def summaries(images: Images, image: Image, index: str) -> list[ImageManifestSummary]:
    """Of all entries of the index; of an image without one its only manifest. Raises Corrupt."""
    if index:
        return [_summary(images, one) for one in entries(images, index)]
    described = describe(images, image.manifest, None)
    if not image.artifact:
        document = image.document
        platform = documents.PlatformField(
            architecture=document.architecture, os=document.os, variant=document.variant or ""
        )
        described = msgspec.structs.replace(described, platform=platform)
    return [_summary(images, Entry(described, image.id))]


def _summary(images: Images, entry: Entry) -> ImageManifestSummary:
    image = images.get(entry.image_id) if entry.image_id else None
    content = sum(
        images.blobs.size(one)
        for one in contents(images, entry.descriptor.digest)
        if images.blobs.exists(one)
    )
    unpacked = image.size if image is not None else 0
    kind = "attestation" if entry.attestation else "unknown" if image and image.artifact else "image"
    return ImageManifestSummary(
        id=entry.descriptor.digest,
        descriptor=descriptors.told(entry.descriptor),
        available=available(images, entry),
        size=ManifestsSize(total=content + unpacked, content=content),
        kind=kind,
        image_data=_image_data(images, entry, image) if kind == "image" else None,
        attestation_data=_attested(entry) if kind == "attestation" else None,
    )


def _image_data(images: Images, entry: Entry, image: Image | None) -> ManifestsImageData:
    given = entry.descriptor.platform
    users = containers.using_image(images.database, image.id) if image is not None else []
    return ManifestsImageData(
        platform=descriptors.platform(given) if given is not None else None,
        containers=[row.id for row in users],
        size=ImageDataSize(unpacked=image.size if image is not None else 0),
    )


def _attested(entry: Entry) -> ManifestsAttestationData:
    return ManifestsAttestationData(for_=(entry.descriptor.annotations or {}).get(ATTESTED, ""))

"""Descriptors and platforms of documents in the API's form."""

from __future__ import annotations

from onggi.spec import image as documents
from onggi.wire.images import OCIDescriptor, OCIPlatform


def told(descriptor: documents.Descriptor) -> OCIDescriptor:
    return OCIDescriptor(
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        urls=descriptor.urls,
        annotations=descriptor.annotations,
        platform=platform(descriptor.platform) if descriptor.platform else None,
        artifact_type=descriptor.artifact_type,
    )


def platform(given: documents.PlatformField) -> OCIPlatform:
    return OCIPlatform(
        architecture=given.architecture,
        os=given.os,
        os_version=given.os_version,
        os_features=given.os_features or [],
        variant=given.variant,
    )

"""Which manifests are images that can be unpacked: the media types of configuration and layers.

An artifact (a chart, a model, a signature) has no files to run: it is kept as it came. A layer of an image
whose type is not known is refused by name before anything is unpacked; an encrypted one (ocicrypt's
+encrypted) needs keys that this engine does not hold.
Source: OCI image-spec 1.1, media-types.md and manifest.md "Guidelines for Artifact Usage"; Docker's schema 2.
"""

from __future__ import annotations

from onggi.errors import InvalidParameter
from onggi.spec import image as documents

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
CONFIGS = frozenset((documents.OCI_CONFIG, documents.DOCKER_CONFIG))
LAYERS = frozenset(
    (
        *(documents.OCI_LAYER + packing for packing in ("", "+gzip", "+zstd")),
        *(documents.DOCKER_LAYER + packing for packing in ("", ".gzip", ".zstd")),
        *(NONDISTRIBUTABLE + packing for packing in ("", "+gzip", "+zstd")),
        *(FOREIGN + packing for packing in ("", ".gzip")),
    )
)


def is_image(manifest: documents.Manifest) -> bool:
    """Whether it describes an image, and not an artifact of another kind."""
    return manifest.config.media_type in CONFIGS and not manifest.artifact_type


def artifact_type(manifest: documents.Manifest) -> str:
    """What an artifact is: its own word, or its configuration's type (OCI image-spec 1.1, manifest.md)."""
    return manifest.artifact_type or manifest.config.media_type


def check(manifest: documents.Manifest, digest: str) -> None:
    """Raises InvalidParameter for an image that cannot be unpacked, naming the blob and its type."""
    if not is_image(manifest):
        if not artifact_type(manifest):
            raise InvalidParameter(f"manifest {digest} is neither an image nor an artifact: it has no type")
        return
    for layer in manifest.layers:
        if "+encrypted" in layer.media_type:
            raise InvalidParameter(
                f"layer {layer.digest} is encrypted ({layer.media_type}): this engine has no keys for it"
            )
        if layer.media_type not in LAYERS:
            raise InvalidParameter(
                f"layer {layer.digest} has the media type {layer.media_type!r}, which is not one of an image"
            )

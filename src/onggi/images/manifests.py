"""Manifests that this engine writes itself, for images that came without one: import, commit, old archives.

The same configuration and the same layers give the same bytes, so that one that was damaged can be composed
again and compared by its digest.
"""

from __future__ import annotations

from onggi.errors import OnggiError
from onggi.images.compression import detect
from onggi.images.images import Images
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.store import images as rows

MEDIA = {
    "plain": documents.LAYER_TYPES["none"],
    "gzip": documents.OCI_LAYER_GZIP,
    "zstd": documents.OCI_LAYER_ZSTD,
}


def layer_descriptor(digest: str, size: int, head: bytes) -> documents.Descriptor:
    """How a composed manifest speaks of a layer; `head` is the blob's first bytes."""
    return documents.Descriptor(media_type=MEDIA[detect(head)], digest=digest, size=size)


def compose(config: str, config_bytes: int, layers: list[documents.Descriptor]) -> bytes:
    """The manifest's bytes; `config` is the configuration's digest."""
    described = documents.Descriptor(media_type=documents.OCI_CONFIG, digest=config, size=config_bytes)
    return documents.encode(
        documents.Manifest(
            schema_version=2, media_type=documents.OCI_MANIFEST, config=described, layers=layers
        )
    )


def recompose(images: Images, digest: str) -> bytes | None:
    """The bytes of a manifest that is lost, when this engine composed it from what is here; else None."""
    image_id = rows.by_manifest(images.database, digest)
    if image_id is None:
        return None
    try:
        layers = []
        for layer in rows.stack(images.database, image_id):
            with images.blobs.open(layer.blob) as file:
                head = file.read(16)
            layers.append(layer_descriptor(layer.blob, images.blobs.size(layer.blob), head))
        data = compose(image_id, images.blobs.size(image_id), layers)
    except (OnggiError, KeyError):
        return None
    return data if digests.of(data) == digest else None

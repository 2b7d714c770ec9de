"""index.json of the layout, so that skopeo and umoci find the images in it by their names.

One descriptor for each name (`org.opencontainers.image.ref.name` is the familiar form, debian:12, and
`io.containerd.image.name` the canonical one) and one for each image without a name. The database is the
truth; this file is written from it after each change. A name that stands for an index is that of its leading
image here: readers of a layout do not expect an index of which only a part is there.
"""

from __future__ import annotations

import contextlib

from onggi.errors import Corrupt
from onggi.images.images import Images
from onggi.spec import image as documents
from onggi.spec import reference
from onggi.store import atomic
from onggi.store import images as rows

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


def write(images: Images) -> None:
    """Write index.json anew. Raises OSError."""
    with images.lock:
        atomic.write(f"{images.blobs.oci_dir}/index.json", content(images))


def content(images: Images) -> bytes:
    """What index.json has to say. An image whose manifest is damaged is left out: `system check` names it,
    and it must keep neither the engine from starting nor another image from being tagged.
    """
    with images.lock:
        named = rows.names(images.database)
        manifests = {row.id: row.manifest for row in rows.list_(images.database)}
        wanted: list[tuple[str, dict[str, str] | None]] = []
        for row in named:
            if "@" not in row.name:
                shown = reference.parse(row.name).familiar
                wanted.append((manifests[row.image_id], {REF_NAME: shown, CONTAINERD_NAME: row.name}))
        unnamed = manifests.keys() - {row.image_id for row in named}
        wanted += [(manifests[image_id], None) for image_id in sorted(unnamed)]
    described: list[documents.Descriptor] = []
    for digest, names in wanted:
        with contextlib.suppress(Corrupt):
            described.append(descriptor(images, digest, names))
    index = documents.Index(schema_version=2, media_type=documents.OCI_INDEX, manifests=described)
    return documents.encode(index)


def descriptor(images: Images, digest: str, annotations: dict[str, str] | None) -> documents.Descriptor:
    """How an index speaks of a manifest, or of another index, that is in the store."""
    data = images.blobs.read(digest, documents.DOCUMENT_MAX_BYTES)
    found = documents.decode(documents.Kind, data, f"manifest {digest}")
    return documents.Descriptor(
        media_type=found.kind,
        digest=digest,
        size=len(data),
        annotations=annotations,
        artifact_type=found.artifact_type,
    )

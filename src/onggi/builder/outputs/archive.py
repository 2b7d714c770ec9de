"""An image as an archive: `type=oci`, an OCI layout; `type=docker`, the same with manifest.json beside it.

Members are in order and have the time 0: equal images give equal archives.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from onggi.builder.outputs.bundle import Bundle
from onggi.images.layout import CONTAINERD_NAME, REF_NAME
from onggi.images.tar.entry import DIRECTORY, Entry
from onggi.images.tar.writer import Writer
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.image import Descriptor
from onggi.store.blobs import LAYOUT


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def write(bundle: Bundle, top: Descriptor, names: list[str], sink: Sink, *, docker: bool) -> None:
    """`names` are canonical. Blocking. Raises what the sink raises."""
    writer = Writer(sink)
    for directory in (b"blobs", b"blobs/sha256"):
        writer.add(Entry(directory, DIRECTORY, mode=0o755))
    for digest, size in sorted(bundle.blobs()):
        writer.begin(Entry(f"blobs/sha256/{digest[7:]}".encode(), size=size))
        with bundle.opener(digest)() as file:
            while piece := file.read(1 << 18):
                writer.put(piece)
        writer.end()
    members = {"index.json": documents.encode(_index(top, names))}
    if docker:
        members["manifest.json"] = msgspec.json.encode([_item(bundle, top, names)])
    members["oci-layout"] = LAYOUT
    for name, data in members.items():
        writer.add(Entry(name.encode(), size=len(data)), data)
    writer.close()


def _index(top: Descriptor, names: list[str]) -> documents.Index:
    described = []
    for name in names or [""]:
        notes = dict(top.annotations or {})
        if name:
            notes |= {CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]}
        described.append(msgspec.structs.replace(top, annotations=notes or None))
    return documents.Index(schema_version=2, media_type=documents.OCI_INDEX, manifests=described)


def _item(bundle: Bundle, top: Descriptor, names: list[str]) -> dict[str, object]:
    manifest = documents.decode(documents.Manifest, bundle.documents[top.digest], "manifest")
    return {
        "Config": f"blobs/sha256/{manifest.config.digest[7:]}",
        "RepoTags": [references.parse(name).familiar for name in names] or None,
        "Layers": [f"blobs/sha256/{layer.digest[7:]}" for layer in manifest.layers],
    }

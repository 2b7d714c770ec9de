"""`docker save`: an OCI layout with manifest.json beside it, as Docker 25 and newer write it.

    blobs/sha256/HEX    manifests, configurations and layers, byte for byte as they came
    index.json          a descriptor for each name
    manifest.json       for docker load of any age, skopeo and podman
    oci-layout, repositories

Equal images give equal archives: members are in order and have the time 0.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from onggi.errors import InvalidParameter
from onggi.images import resolve as resolving
from onggi.images.images import Image, Images
from onggi.images.layout import CONTAINERD_NAME, REF_NAME
from onggi.images.tar.entry import DIRECTORY, Entry
from onggi.images.tar.writer import Writer
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import reference
from onggi.store import images as rows
from onggi.store.blobs import LAYOUT


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Chosen(msgspec.Struct):
    """An image with those of its names that are to be in the archive."""

    image: Image
    names: list[str]


def choose(images: Images, wanted: list[str], platform: platforms.Platform | None = None) -> list[Chosen]:
    """What the user named: a tag, a whole repository, or an id (then without names). Raises NoSuchImage."""
    chosen: dict[str, Chosen] = {}
    for text in wanted:
        for image_id, names in _named(images, text):
            image = resolving.resolve(images, image_id, platform)
            entry = chosen.setdefault(image_id, Chosen(image, []))
            entry.names += [name for name in names if name not in entry.names]
    return list(chosen.values())


def _named(images: Images, text: str) -> list[tuple[str, list[str]]]:
    if resolving.is_name(images, text):
        named = reference.parse(text)
        image_id = resolving.resolve_id(images, text)
        if named.tag or named.digest:
            return [(image_id, [str(named)] if named.tag and not named.digest else [])]
    try:
        repository = reference.parse(text)
    except InvalidParameter:
        repository = None
    if repository is not None and not repository.tag and not repository.digest:
        prefix = repository.name + ":"
        found = [row for row in rows.names(images.database) if row.name.startswith(prefix)]
        if found:
            return [(row.image_id, [row.name]) for row in found]
    return [(resolving.resolve_id(images, text), [])]


def verify(images: Images, chosen: list[Chosen]) -> None:
    """Read every blob before the first byte of the archive goes out: later an error could only cut it off.

    The second reading comes out of the page cache. Raises Corrupt, naming the blob.
    """
    for digest in _blobs(images, chosen):
        images.blobs.verify(digest)


def _blobs(images: Images, chosen: list[Chosen]) -> list[str]:
    return sorted({digest for one in chosen for digest in rows.blobs(images.database, one.image.id)})


def save(images: Images, chosen: list[Chosen], sink: Sink) -> None:
    """Write the archive of verified blobs. Raises what the sink raises."""
    blobs = _blobs(images, chosen)
    with images.pinned(blobs):
        writer = Writer(sink)
        for directory in (b"blobs", b"blobs/sha256"):
            writer.add(Entry(directory, DIRECTORY, mode=0o755))
        for digest in blobs:
            _blob(images, writer, digest)
        documents_of = {
            "index.json": documents.encode(_index(images, chosen)),
            "manifest.json": msgspec.json.encode([_item(images, one) for one in chosen]),
            "oci-layout": LAYOUT,
        }
        if any(one.names for one in chosen):
            documents_of["repositories"] = msgspec.json.encode(_repositories(chosen))
        for name, data in documents_of.items():
            writer.add(Entry(name.encode(), size=len(data)), data)
        writer.close()


def _blob(images: Images, writer: Writer, digest: str) -> None:
    with images.blobs.open(digest) as file:
        size = images.blobs.size(digest)
        writer.begin(Entry(f"blobs/sha256/{digest[7:]}".encode(), size=size))
        while piece := file.read(1 << 18):
            writer.put(piece)
        writer.end()


def _index(images: Images, chosen: list[Chosen]) -> documents.Index:
    described = []
    for one in chosen:
        data = images.blobs.read(one.image.manifest, documents.DOCUMENT_MAX_BYTES)
        manifest = documents.decode(documents.Manifest, data, f"manifest {one.image.manifest}")
        for name in one.names or [""]:
            annotations = {CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]} if name else None
            described.append(
                documents.Descriptor(
                    media_type=manifest.media_type or documents.OCI_MANIFEST,
                    digest=one.image.manifest,
                    size=len(data),
                    annotations=annotations,
                )
            )
    return documents.Index(schema_version=2, media_type=documents.OCI_INDEX, manifests=described)


def _item(images: Images, one: Chosen) -> dict[str, object]:
    layers = images.manifest(one.image).layers
    return {
        "Config": f"blobs/sha256/{one.image.id[7:]}",
        "RepoTags": [reference.parse(name).familiar for name in one.names] or None,
        "Layers": [f"blobs/sha256/{layer.digest[7:]}" for layer in layers],
    }


def _repositories(chosen: list[Chosen]) -> dict[str, dict[str, str]]:
    """The legacy file: repository -> tag -> top layer's id."""
    found: dict[str, dict[str, str]] = {}
    for one in chosen:
        for name in one.names:
            named = reference.parse(name)
            top = one.image.layers[-1].blob if one.image.layers else one.image.id
            found.setdefault(named.familiar_name, {})[named.tag] = top[7:]
    return found

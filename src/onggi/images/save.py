"""`docker save`: an OCI layout with manifest.json beside it, as Docker 25 and newer write it.

    blobs/sha256/HEX    manifests, configurations and layers, byte for byte as they came
    index.json          a descriptor for each name
    manifest.json       for docker load of any age, skopeo and podman
    oci-layout, repositories

A name that stands for an index keeps it: its images that are here are all in the archive, index.json names
the index, and manifest.json the leading image. With platforms there are only their images, and index.json
names these, as Docker 28 does it.

Equal images give equal archives: members are in order and have the time 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from onggi.errors import InvalidParameter
from onggi.images import resolve as resolving
from onggi.images.images import Image, Images
from onggi.images.indexes import entries, target_of
from onggi.images.layout import CONTAINERD_NAME, REF_NAME
from onggi.images.layout import descriptor as describe
from onggi.images.tar.entry import DIRECTORY, Entry
from onggi.images.tar.writer import Writer
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import reference
from onggi.store import images as rows
from onggi.store import indexes as index_rows
from onggi.store.blobs import LAYOUT


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Chosen(msgspec.Struct):
    """An image with those of its names that are to be in the archive.

    `target` is the index that goes with it, `beside` are other images of it.
    `platform` is what index.json says of it.
    """

    image: Image
    names: list[str]
    target: str = ""
    beside: list[Image] = []
    platform: documents.PlatformField | None = None


def choose(images: Images, wanted: list[str], only: Sequence[platforms.Platform] = ()) -> list[Chosen]:
    """What the user named: a tag, a whole repository, or an id (then without names); `only` these platforms.

    Raises NoSuchImage, NotFound.
    """
    chosen: dict[tuple[str, str], Chosen] = {}
    for text in wanted:
        for source, names in _named(images, text):
            for one in _platforms(images, source, only):
                entry = chosen.setdefault((one.image.id, one.target), one)
                entry.names += [name for name in names if name not in entry.names]
    return list(chosen.values())


def _platforms(images: Images, source: str, only: Sequence[platforms.Platform]) -> list[Chosen]:
    image = resolving.resolve(images, source)
    row = resolving.named_row(images, source)
    target = row.target if row is not None else target_of(image)
    if only:
        found = [resolving.resolve(images, source, one) for one in only]
        return [Chosen(one, [], platform=_described(images, target, one)) for one in found]
    if not target:
        return [Chosen(image, [])]
    others = [images.get(one) for one in index_rows.members(images.database, target).values()]
    return [Chosen(image, [], target, [one for one in others if one is not None and one.id != image.id])]


def _described(images: Images, target: str, image: Image) -> documents.PlatformField | None:
    """As the index has it: builders leave the variant out of configurations."""
    if target:
        for one in entries(images, target):
            if one.image_id == image.id:
                return one.descriptor.platform
    found = image.document
    if image.artifact or not found.os:
        return None
    return documents.PlatformField(architecture=found.architecture, os=found.os, variant=found.variant or "")


def _named(images: Images, text: str) -> list[tuple[str, list[str]]]:
    """What to resolve, and the names that the archive gives it."""
    if resolving.is_name(images, text):
        named = reference.parse(text)
        if named.tag or named.digest:
            return [(text, [str(named)] if named.tag and not named.digest else [])]
    try:
        repository = reference.parse(text)
    except InvalidParameter:
        repository = None
    if repository is not None and not repository.tag and not repository.digest:
        prefix = repository.name + ":"
        found = [row for row in rows.names(images.database) if row.name.startswith(prefix)]
        if found:
            return [(row.name, [row.name]) for row in found]
    return [(resolving.resolve_id(images, text), [])]


def verify(images: Images, chosen: list[Chosen]) -> None:
    """Read every blob before the first byte of the archive goes out: later an error could only cut it off.

    The second reading comes out of the page cache. Raises Corrupt, naming the blob.
    """
    for digest in _blobs(images, chosen):
        images.blobs.verify(digest)


def _blobs(images: Images, chosen: list[Chosen]) -> list[str]:
    needed: set[str] = set()
    for one in chosen:
        for image in (one.image, *one.beside):
            needed.update(rows.blobs(images.database, image.id))
        if one.target:
            needed.update(index_rows.blobs(images.database, one.target))
    return sorted(needed)


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
            "manifest.json": msgspec.json.encode(
                [_item(images, one) for one in chosen if not one.image.artifact]
            ),
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
        digest = one.target or one.image.manifest
        for name in one.names or [""]:
            annotations = {CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]} if name else None
            descriptor = describe(images, digest, annotations)
            described.append(msgspec.structs.replace(descriptor, platform=one.platform))
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
        for name in () if one.image.artifact else one.names:
            named = reference.parse(name)
            top = one.image.layers[-1].blob if one.image.layers else one.image.id
            found.setdefault(named.familiar_name, {})[named.tag] = top[7:]
    return found

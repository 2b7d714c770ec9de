"""`docker load`: the images of an archive, all of them or none.

manifest.json says which images there are (docker save of every age); without it index.json does (an OCI
layout). Where both are there the original manifests are kept, so that their digests stay.
The commit point is Staging.publish: before it the store is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from onggi.errors import InvalidParameter
from onggi.images import image_archive as archives
from onggi.images import media_types
from onggi.images.image_archive import Archive
from onggi.images.images import Images
from onggi.images.layout import CONTAINERD_NAME, REF_NAME
from onggi.images.progress import Progress, layer_progress
from onggi.images.staging import NewImage, Published, Source, Staging
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import reference

DEPTH_MAX = 4
IMAGES_MAX = 2000  # in one archive: a small one may name the same manifest a million times


class Item(msgspec.Struct, frozen=True):
    """One image of manifest.json."""

    config: str = msgspec.field(name="Config")
    layers: list[str] | None = msgspec.field(name="Layers", default=None)
    repo_tags: list[str] | None = msgspec.field(name="RepoTags", default=None)


def load(
    images: Images,
    stream: Source,
    report: Callable[[Progress], None],
    wanted: list[platforms.Platform] | None = None,
    allow: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Load and say so; returns the ids. `allow` is asked about docker-archive or oci-archive.

    Raises BadArchive, InvalidParameter, Corrupt, NoSpace, and what `allow` raises.
    """
    with Staging(images) as staging:
        archive = archives.read(staging, stream, layer_progress(report))
        new = _images(staging, archive, wanted or [])
        allow("docker-archive" if "manifest.json" in archive.documents else "oci-archive")
        published = staging.publish(new)
    for image, done in zip(new, published, strict=True):
        _say(report, image, done)
    return [done.id for done in published]


def _say(report: Callable[[Progress], None], image: NewImage, done: Published) -> None:
    for name, before in done.moved.items():
        shown = reference.parse(name).familiar
        moved = f"The image {shown} already exists, renaming the old one with ID {before} to empty string\n"
        report(Progress(stream=moved))
    for name in image.names:
        report(Progress(stream=f"Loaded image: {reference.parse(name).familiar}\n"))
    if not image.names:
        report(Progress(stream=f"Loaded image ID: {done.id}\n"))


def _images(staging: Staging, archive: Archive, wanted: list[platforms.Platform]) -> list[NewImage]:
    manifests = _manifests(staging, archive)
    if "manifest.json" in archive.documents:
        found = _from_docker(staging, archive, manifests)
    elif "index.json" in archive.documents:
        found = _from_layout(staging, manifests, wanted)
    else:
        raise InvalidParameter("invalid archive: it has neither manifest.json nor index.json")
    for platform in wanted:
        if not any(platforms.matches(_platform(staging, new), platform) for new in found):
            raise InvalidParameter(f"no image of the archive is for platform {platform}")
    if wanted:
        found = [n for n in found if any(platforms.matches(_platform(staging, n), p) for p in wanted)]
    return found


def _platform(staging: Staging, new: NewImage) -> platforms.Platform:
    data = staging.read(new.config, documents.CONFIG_MAX_BYTES)
    return documents.decode(documents.Image, data, f"configuration {new.config}").platform()


def _from_docker(staging: Staging, archive: Archive, manifests: list[Found]) -> list[NewImage]:
    try:
        items = msgspec.json.decode(archive.documents["manifest.json"], type=list[Item])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid manifest.json: {error}") from None
    if len(items) > IMAGES_MAX:
        raise InvalidParameter(f"invalid manifest.json: it has {len(items)} images, {IMAGES_MAX} at most")
    found: list[NewImage] = []
    for item in items:
        config = archive.digest(item.config)
        blobs = [archive.digest(layer) for layer in item.layers or []]
        names = [_name(tag) for tag in item.repo_tags or []]
        same = [f for f in manifests if f.manifest.config.digest == config and f.blobs == blobs]
        found.append(NewImage(config, blobs, names, same[0].digest if same else ""))
    return found


def _name(tag: str) -> str:
    named = reference.parse(tag)
    if not named.tag or named.digest:
        raise InvalidParameter(f'invalid tag "{tag}"')
    return str(named)


class Found(msgspec.Struct, frozen=True):
    """A manifest of an index: its own digest, what names it, and which top descriptor led to it."""

    digest: str
    manifest: documents.Manifest
    name: str
    group: int
    platform: platforms.Platform | None

    @property
    def blobs(self) -> list[str]:
        return [layer.digest for layer in self.manifest.layers]


def _manifests(staging: Staging, archive: Archive) -> list[Found]:
    """Every manifest of an image that is whole in the archive (or the store), through indexes in indexes."""
    if "index.json" not in archive.documents:
        return []
    index = _document(documents.Index, archive.documents["index.json"], "index.json")
    found: list[Found] = []
    steps = iter(range(IMAGES_MAX))
    for group, descriptor in enumerate(index.manifests):
        _follow(staging, descriptor, _annotated(descriptor), group, found, 0, steps)
    return found


def _follow(
    staging: Staging,
    descriptor: documents.Descriptor,
    name: str,
    group: int,
    found: list[Found],
    depth: int,
    steps: Iterator[int],
) -> None:
    """`steps` runs out for an archive whose indexes name each other's manifests over and over."""
    if next(steps, None) is None:
        raise InvalidParameter(f"invalid archive: index.json leads to more than {IMAGES_MAX} manifests")
    digest = digests.check(descriptor.digest)
    if depth > DEPTH_MAX:
        raise InvalidParameter(f"invalid archive: indexes in indexes, deeper than {DEPTH_MAX}")
    if not staging.known(digest):
        return  # a platform that was left out when the archive was made
    data = staging.read(digest, documents.DOCUMENT_MAX_BYTES)
    if descriptor.media_type in documents.INDEXES:
        for inner in _document(documents.Index, data, f"index {digest}").manifests:
            _follow(staging, inner, name, group, found, depth + 1, steps)
    elif descriptor.media_type in documents.MANIFESTS and not _is_attestation(descriptor):
        manifest = _document(documents.Manifest, data, f"manifest {digest}")
        whole = [manifest.config.digest, *(layer.digest for layer in manifest.layers)]
        missing = [blob for blob in whole if not staging.known(digests.check(blob))]
        if missing and not depth:
            raise InvalidParameter(f"invalid archive: blob {missing[0]} of manifest {digest} is not in it")
        if not missing:
            platform = descriptor.platform.normal() if descriptor.platform else None
            found.append(Found(digest, manifest, name, group, platform))


def _is_attestation(descriptor: documents.Descriptor) -> bool:
    return descriptor.platform is not None and descriptor.platform.os == "unknown"


def _annotated(descriptor: documents.Descriptor) -> str:
    """The canonical name that a descriptor carries; a bare tag names nothing."""
    annotations = descriptor.annotations or {}
    text = annotations.get(CONTAINERD_NAME, "")
    if not text:
        text = annotations.get(REF_NAME, "")
        text = text if ":" in text or "/" in text else ""
    return str(reference.parse(text).tagged()) if text else ""


def _from_layout(
    staging: Staging, manifests: list[Found], wanted: list[platforms.Platform]
) -> list[NewImage]:
    """One image for each descriptor of index.json: the wanted platform, else this machine's, else the first.

    Artifacts that lie beside images (their signatures) are left out; alone they are refused by their type.
    """
    if not manifests:
        raise InvalidParameter("invalid archive: index.json names no image")
    images = [found for found in manifests if media_types.is_image(found.manifest)]
    if not images:
        media_types.check(manifests[0].manifest, manifests[0].digest)
    chosen: dict[int, Found] = {}
    for found in images:
        best = chosen.get(found.group)
        if best is None or _rank(found, wanted) < _rank(best, wanted):
            chosen[found.group] = found
    by_digest: dict[str, NewImage] = {}
    for found in chosen.values():
        media_types.check(found.manifest, found.digest)
        known = by_digest.get(found.digest)
        names = [*(known.names if known else []), *([found.name] if found.name else [])]
        by_digest[found.digest] = NewImage(found.manifest.config.digest, found.blobs, names, found.digest)
    return list(by_digest.values())


def _rank(found: Found, wanted: list[platforms.Platform]) -> int:
    order = [*wanted, platforms.host()]
    for position, platform in enumerate(order):
        if found.platform is not None and platforms.matches(found.platform, platform):
            return position
    return len(order)


def _document(kind: type[documents.Document], data: bytes, name: str) -> documents.Document:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid archive: {name}: {error}") from None

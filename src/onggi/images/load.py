"""`docker load`: the images of an archive, all of them or none.

manifest.json says which images there are (docker save of every age); without it index.json does (an OCI
layout). Where both are there the original manifests are kept, so that their digests stay; an index keeps the
images of it that are in the archive, or those of the platforms that are wanted, and its attestations.
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
from onggi.images.staging import NewImage, NewIndex, Published, Source, Staging
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
        new, indexes = _images(staging, archive, wanted or [])
        allow("docker-archive" if "manifest.json" in archive.documents else "oci-archive")
        published = staging.publish(new, indexes)
    covered = {entry for index in indexes if index.names for entry in index.entries}
    for image, done in zip(new, published, strict=False):
        if image.manifest not in covered or image.names:
            _say(report, image, done)
    for index, done in zip(indexes, published[len(new) :], strict=True):
        _say(report, index, done)
    return [done.id for done in published[: len(new)]]


def _say(report: Callable[[Progress], None], image: NewImage | NewIndex, done: Published) -> None:
    for name, before in done.moved.items():
        shown = reference.parse(name).familiar
        moved = f"The image {shown} already exists, renaming the old one with ID {before} to empty string\n"
        report(Progress(stream=moved))
    for name in image.names:
        report(Progress(stream=f"Loaded image: {reference.parse(name).familiar}\n"))
    if not image.names and isinstance(image, NewImage):
        report(Progress(stream=f"Loaded image ID: {done.id}\n"))


def _images(
    staging: Staging, archive: Archive, wanted: list[platforms.Platform]
) -> tuple[list[NewImage], list[NewIndex]]:
    groups = _groups(staging, archive)
    if "manifest.json" in archive.documents:
        indexed = [one for one in groups if one.index and any(map(_is_image, one.found))]
        named = [one for one in groups if one.name and any(map(_is_artifact, one.found))]
        found = _from_docker(staging, archive, groups, skip=indexed)
        more, indexes = _from_layout([*indexed, *named])
        found += more
    elif "index.json" in archive.documents:
        found, indexes = _from_layout(_worth(groups))
    else:
        raise InvalidParameter("invalid archive: it has neither manifest.json nor index.json")
    if not wanted:
        return found, indexes
    for platform in wanted:
        if not any(_serves(staging, new, groups, platform) for new in found):
            raise InvalidParameter(f"no image of the archive is for platform {platform}")
    found = [new for new in found if any(_serves(staging, new, groups, one) for one in wanted)]
    kept = {new.manifest for new in found}
    return found, [one for one in indexes if kept.intersection(one.entries)]


def _serves(staging: Staging, new: NewImage, groups: list[Group], wanted: platforms.Platform) -> bool:
    if new.artifact:
        return False
    given = [one.platform for group in groups for one in group.found if one.digest == new.manifest]
    return platforms.matches(next(filter(None, given), None) or _platform(staging, new), wanted)


def _platform(staging: Staging, new: NewImage) -> platforms.Platform:
    data = staging.read(new.config, documents.CONFIG_MAX_BYTES)
    return documents.decode(documents.Image, data, f"configuration {new.config}").platform()


def _from_docker(
    staging: Staging, archive: Archive, groups: list[Group], *, skip: list[Group]
) -> list[NewImage]:
    """The images of manifest.json, but those that come with their index, under its names."""
    manifests = [one for group in groups for one in group.found if _is_image(one)]
    indexed = {one.manifest.config.digest: group for group in skip for one in group.found}
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
        if config in indexed and set(names) <= {
            one.name for one in skip if one.index == indexed[config].index
        }:
            continue
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
    platform: platforms.Platform | None

    @property
    def blobs(self) -> list[str]:
        return [layer.digest for layer in self.manifest.layers]


class Group(msgspec.Struct):
    """What one descriptor of index.json leads to; `index` is empty where that is a manifest.

    `documents_` are the indexes, and what is attested. `entries` are all manifests, here or not.
    """

    name: str
    index: str = ""
    found: list[Found] = []
    documents_: list[str] = []
    entries: list[str] = []


def _is_image(found: Found) -> bool:
    return media_types.is_image(found.manifest)


def _is_artifact(found: Found) -> bool:
    return not media_types.is_image(found.manifest)


def _groups(staging: Staging, archive: Archive) -> list[Group]:
    """What index.json names, as far as it is whole in the archive (or the store), through indexes in
    indexes.
    """
    if "index.json" not in archive.documents:
        return []
    index = _document(documents.Index, archive.documents["index.json"], "index.json")
    groups: list[Group] = []
    steps = iter(range(IMAGES_MAX))
    for descriptor in index.manifests:
        group = Group(_annotated(descriptor))
        if descriptor.media_type in documents.INDEXES:
            group.index = digests.check(descriptor.digest)
        _follow(staging, descriptor, group, 0, steps)
        groups.append(group)
    return groups


def _follow(
    staging: Staging, descriptor: documents.Descriptor, group: Group, depth: int, steps: Iterator[int]
) -> None:
    """`steps` runs out for an archive whose indexes name each other's manifests over and over."""
    if next(steps, None) is None:
        raise InvalidParameter(f"invalid archive: index.json leads to more than {IMAGES_MAX} manifests")
    digest = digests.check(descriptor.digest)
    if depth > DEPTH_MAX:
        raise InvalidParameter(f"invalid archive: indexes in indexes, deeper than {DEPTH_MAX}")
    if descriptor.media_type in documents.MANIFESTS:
        group.entries.append(digest)
    if not staging.known(digest):
        return  # a platform that was left out when the archive was made
    data = staging.read(digest, documents.DOCUMENT_MAX_BYTES)
    if descriptor.media_type in documents.INDEXES:
        group.documents_.append(digest)
        for inner in _document(documents.Index, data, f"index {digest}").manifests:
            _follow(staging, inner, group, depth + 1, steps)
    elif descriptor.media_type in documents.MANIFESTS:
        _found(staging, descriptor, _document(documents.Manifest, data, f"manifest {digest}"), group)


def _found(
    staging: Staging, descriptor: documents.Descriptor, manifest: documents.Manifest, group: Group
) -> None:
    whole = [manifest.config.digest, *(layer.digest for layer in manifest.layers)]
    missing = [blob for blob in whole if not staging.known(digests.check(blob))]
    if missing and not group.index:
        raise InvalidParameter(
            f"invalid archive: blob {missing[0]} of manifest {descriptor.digest} is not in it"
        )
    if missing:
        return
    if group.index and (_is_attestation(descriptor) or not media_types.is_image(manifest)):
        group.documents_ += [descriptor.digest, *whole]
        return
    platform = descriptor.platform.normal() if descriptor.platform else None
    group.found.append(Found(descriptor.digest, manifest, platform))


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


def _worth(groups: list[Group]) -> list[Group]:
    """Without artifacts that lie beside images and have no name: their signatures.

    Raises InvalidParameter where nothing is left.
    """
    whole = [one for one in groups if one.found]
    if not whole:
        raise InvalidParameter("invalid archive: index.json names no image")
    named = [one for one in whole if one.name or any(map(_is_image, one.found))]
    return named or whole


def _from_layout(groups: list[Group]) -> tuple[list[NewImage], list[NewIndex]]:
    """Every manifest once, with all its names. Raises InvalidParameter for types that are no image's."""
    by_digest: dict[str, NewImage] = {}
    indexes: dict[str, NewIndex] = {}
    for group in groups:
        for found in group.found:
            names = [group.name] if group.name and not group.index else []
            known = by_digest.get(found.digest)
            by_digest[found.digest] = _new(found, [*(known.names if known else []), *names])
        if group.index:
            before = indexes.get(group.index)
            names = [*(before.names if before else []), *([group.name] if group.name else [])]
            indexes[group.index] = NewIndex(group.index, group.entries, group.documents_, names)
    return list(by_digest.values()), list(indexes.values())


def _new(found: Found, names: list[str]) -> NewImage:
    media_types.check(found.manifest, found.digest)
    config = found.manifest.config.digest
    if _is_artifact(found):
        return NewImage(found.digest, [config, *found.blobs], names, found.digest, artifact=True)
    return NewImage(config, found.blobs, names, found.digest)


def _document(kind: type[documents.Document], data: bytes, name: str) -> documents.Document:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid archive: {name}: {error}") from None

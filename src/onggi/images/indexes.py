"""Indexes: several images, one for each platform, that go by one name; some of them are here, others are not.

    name -> index (names.target)  -> entries, in the document's order    manifests of images, attestations
         -> image (names.image_id)   the one that is meant where no platform is named: this machine's
                                     where it is here, else the one that came first

Rows are in store/indexes.py. Not here: bringing more of an index (engine/images/pulling.py), archives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from onggi.images.images import Image, Images
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.store import images as rows
from onggi.store import indexes

DEPTH_MAX = 4
ENTRIES_MAX = 1000
ATTESTATION = "vnd.docker.reference.type"  # "attestation-manifest", of the entries that buildkit adds
ATTESTED = "vnd.docker.reference.digest"


class Entry(msgspec.Struct, frozen=True):
    """A manifest of an index; `image_id` is empty where its image is not here."""

    descriptor: documents.Descriptor
    image_id: str

    @property
    def platform(self) -> platforms.Platform | None:
        given = self.descriptor.platform
        return given.normal() if given is not None and not self.attestation else None

    @property
    def attestation(self) -> bool:
        """A statement about another entry, and no image."""
        given = self.descriptor.platform
        annotations = self.descriptor.annotations or {}
        return ATTESTATION in annotations or (given is not None and given.os == "unknown")


def entries(images: Images, target: str) -> list[Entry]:
    """All manifests of an index, through indexes in it. Raises Corrupt."""
    present = indexes.members(images.database, target)
    steps = iter(range(ENTRIES_MAX))
    return [Entry(one, present.get(one.digest, "")) for one in _manifests(images, target, 0, steps)]


def _manifests(
    images: Images, digest: str, depth: int, steps: Iterator[int]
) -> Iterator[documents.Descriptor]:
    if depth > DEPTH_MAX or not images.blobs.exists(digest):
        return
    for one in images.index(digest).manifests:
        if next(steps, None) is None:
            return
        if not digests.is_digest(one.digest):
            continue  # what is no digest of ours can neither be here nor be asked for
        if one.media_type in documents.INDEXES:
            yield from _manifests(images, one.digest, depth + 1, steps)
        else:
            yield one


def inner(images: Images, digest: str) -> list[str]:
    """The indexes in an index, the deepest first, each once. Raises Corrupt."""
    found: list[str] = []
    _inner(images, digest, 0, set(), found)
    return found


def _inner(images: Images, digest: str, depth: int, seen: set[str], found: list[str]) -> None:
    for one in images.index(digest).manifests if depth < DEPTH_MAX else ():
        known = one.media_type not in documents.INDEXES or one.digest in seen
        if known or not digests.is_digest(one.digest) or not images.blobs.exists(one.digest):
            continue
        seen.add(one.digest)
        _inner(images, one.digest, depth + 1, seen, found)
        found.append(one.digest)


def available(images: Images, entry: Entry) -> bool:
    """Whether everything of an entry is here, under this index. Raises Corrupt."""
    if entry.image_id or entry.platform is not None:
        return bool(entry.image_id)
    if entry.descriptor.media_type not in documents.MANIFESTS:
        return False
    return all(images.blobs.exists(one) for one in contents(images, entry.descriptor.digest))


def contents(images: Images, digest: str) -> list[str]:
    """A manifest with the blobs that it names, as far as it is here. Raises Corrupt."""
    if not images.blobs.exists(digest):
        return [digest]
    data = images.blobs.read(digest, documents.DOCUMENT_MAX_BYTES)
    manifest = documents.decode(documents.Manifest, data, f"manifest {digest}")
    named = dict.fromkeys([manifest.config.digest, *(one.digest for one in manifest.layers)])
    return [digest, *filter(digests.is_digest, named)]


def serving(images: Images, target: str, platform: platforms.Platform) -> str:
    """The image of an index that serves a platform best; empty when none that is here does."""
    found = [
        (0 if one.platform == platform else 1, position, one.image_id)
        for position, one in enumerate(entries(images, target))
        if one.image_id and platforms.matches(_platform(images, one), platform)
    ]
    return min(found)[2] if found else ""


def _platform(images: Images, entry: Entry) -> platforms.Platform:
    return entry.platform or images.document(entry.image_id).platform()


def leading(images: Images, target: str, current: str = "") -> str:
    """The image that an index means without a platform; empty when none of it is here."""
    host = serving(images, target, platforms.host())
    present = list(indexes.members(images.database, target).values())
    if host or not present:
        return host
    return current if current in present else present[0]


def settle(images: Images, target: str, current: str = "") -> None:
    """Let the names of an index mean the right image of those that are here, after some came or went."""
    image_id = leading(images, target, current)
    if image_id:
        by_image = {found: one for one, found in indexes.members(images.database, target).items()}
        indexes.lead(images.database, target, image_id, by_image[image_id])


def target_of(image: Image) -> str:
    """The index that the image is the leading one of; empty where its names are of the image alone."""
    return next((row.target for row in image.names if row.target and row.image_id == image.id), "")


def group(images: Images, image_id: str) -> list[str]:
    """The image, and those that go by the names that mean it."""
    led = [row for row in rows.names(images.database, image_id) if row.image_id == image_id and row.target]
    return _with_members(images, image_id, (row.target for row in led))


def peers(images: Images, image_id: str) -> list[str]:
    """The image, and all that share a name with it."""
    held = rows.names(images.database, image_id)
    return _with_members(images, image_id, (row.target for row in held if row.target))


def _with_members(images: Images, image_id: str, targets: Iterable[str]) -> list[str]:
    found = [image_id]
    for target in dict.fromkeys(targets):
        found += indexes.members(images.database, target).values()
    return list(dict.fromkeys(found))


def led_by_another(image: Image) -> bool:
    """Whether its names mean other images: then it is shown below these, and not by itself."""
    return bool(image.names) and all(row.image_id != image.id for row in image.names)


def size(images: Images, image: Image) -> int:
    """Bytes of the files of all platforms that go by the image's names, each layer once; of an artifact those
    of its blobs.
    """
    if image.artifact:
        return sum(images.blobs.size(one) for one in rows.blobs(images.database, image.id))
    layers = {layer.chain_id: layer.size for layer in image.layers}
    for other in group(images, image.id)[1:]:
        layers |= {layer.chain_id: layer.size for layer in rows.stack(images.database, other)}
    return sum(layers.values())

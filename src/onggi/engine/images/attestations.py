"""What was attested of an image: the in-toto statements that its index holds (provenance, lists of packages).

    index -> entry of type attestation-manifest, about the image's manifest -> its layers, a statement each

Told is what is here: of images that were built, loaded, or pulled with all that their index names. What a
registry has beside an image is in referrers.py. Source: BuildKit's docs/attestations/attestation-storage.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from onggi.engine.images import descriptors
from onggi.errors import Corrupt, InvalidParameter
from onggi.images.images import Image, Images
from onggi.images.indexes import ATTESTED, available, entries
from onggi.images.resolve import named_row, resolve
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.store import indexes as rows
from onggi.wire.images import AttestationStatement

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

PREDICATE_TYPE = "in-toto.io/predicate-type"
STATEMENT_MAX_BYTES = 32 << 20


async def attestations(
    engine: Engine, name: str, *, platform: list[str], types: list[str], statement: bool = False
) -> list[AttestationStatement]:
    """Of the image of one platform (JSON; this machine's where none is given), those of some predicate types
    or all; with `statement` what they say. Raises NoSuchImage, NotFound, InvalidParameter, Corrupt, TooLarge.
    """
    if len(platform) > 1:
        raise InvalidParameter("only one platform may be given")
    wanted = platforms.parse_json(platform[0]) if platform else platforms.host()
    return await engine.offload(_attestations, engine.images, name, wanted, types, statement)


def _attestations(
    images: Images, name: str, wanted: platforms.Platform, types: list[str], statement: bool
) -> list[AttestationStatement]:
    image = resolve(images, name, wanted)
    return [
        AttestationStatement(
            descriptor=descriptors.told(one),
            predicate_type=kind,
            statement=_statement(images, one.digest) if statement else UNSET,
        )
        for one, kind in _layers(images, image, name)
        if not types or kind in types
    ]


def _layers(images: Images, image: Image, name: str) -> Iterator[tuple[documents.Descriptor, str]]:
    """The statements' descriptors, with the types of their predicates."""
    for manifest in dict.fromkeys(_manifests(images, image, name)):
        data = images.blobs.read(manifest, documents.DOCUMENT_MAX_BYTES)
        for one in documents.decode(documents.Manifest, data, f"manifest {manifest}").layers:
            kind = (one.annotations or {}).get(PREDICATE_TYPE, "")
            if kind:
                yield one, kind


def _manifests(images: Images, image: Image, name: str) -> Iterator[str]:
    """Attestation manifests about the image that are here, in the index of the name or in those of an id."""
    row = named_row(images, name)
    targets = [row.target] if row is not None else [one.target for one in image.names]
    for target in filter(None, dict.fromkeys(targets)):
        subjects = {
            digest for digest, found in rows.members(images.database, target).items() if found == image.id
        }
        for entry in entries(images, target):
            about = (entry.descriptor.annotations or {}).get(ATTESTED, "")
            if entry.attestation and about in subjects and available(images, entry):
                yield entry.descriptor.digest


def _statement(images: Images, digest: str) -> msgspec.Raw:
    """Verbatim. Raises Corrupt where it is no JSON object."""
    data = images.blobs.read(digest, STATEMENT_MAX_BYTES)
    try:
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(f"statement {digest} is no JSON object: {error}") from None
    return msgspec.Raw(data)

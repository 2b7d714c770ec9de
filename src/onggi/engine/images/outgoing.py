"""What a push sends: of a name that stands for an index all of it, or the one manifest that is here."""

from __future__ import annotations

import msgspec

from onggi.errors import Conflict, NotFound
from onggi.images.images import Images
from onggi.images.indexes import Entry, available, entries, inner, serving
from onggi.images.resolve import resolve
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.store import images as rows


class Outgoing(msgspec.Struct, frozen=True):
    """What is to be pushed under a name: one manifest, or an index with everything that it leads to.

    `documents_` are those below the top, in the order in which a registry takes them.
    """

    top: str
    manifests: list[str]
    documents_: list[str] = []
    instead_of: str = ""


def choose(images: Images, row: rows.NameRow, wanted: platforms.Platform | None) -> Outgoing:
    """Dockerd's choice: the index where all of it is here, else the one image that is.

    Raises NotFound (nothing of that platform is here), Conflict (several are, none is this machine's).
    """
    if not row.target:
        found = resolve(images, row.name, wanted)
        return Outgoing(found.manifest, [found.manifest])
    listed = entries(images, row.target)
    present = [one for one in listed if one.image_id]
    if wanted is not None:
        served = serving(images, row.target, wanted)
        if not served:
            raise NotFound(
                f"image {row.name} was found but does not provide the specified platform ({wanted})"
            )
        return _alone(row.target, next(one for one in present if one.image_id == served))
    if all(available(images, one) for one in listed):
        manifests = [one.descriptor.digest for one in listed]
        return Outgoing(row.target, manifests, [*manifests, *inner(images, row.target)])
    host = serving(images, row.target, platforms.host())
    best = [one for one in present if len(present) == 1 or one.image_id == host]
    if not best:
        raise Conflict("multiple matching manifests found but no specific platform requested")
    return _alone(row.target, best[0])


def _alone(target: str, entry: Entry) -> Outgoing:
    return Outgoing(entry.descriptor.digest, [entry.descriptor.digest], instead_of=target)


def media_type_of(data: bytes, digest: str) -> str:
    """What a manifest or an index says that it is. Raises Corrupt."""
    return documents.decode(documents.Kind, data, f"manifest {digest}").kind

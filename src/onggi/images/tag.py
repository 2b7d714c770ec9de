"""`docker tag`: another name for an image; a name that stood for another one moves.

A name that stands for an index gives the whole of it the other name; so does the id of its leading image.
"""

from __future__ import annotations

import time

from onggi import failpoints
from onggi.errors import InvalidParameter
from onggi.images import layout
from onggi.images.images import Image, Images
from onggi.images.indexes import target_of
from onggi.images.resolve import named_row, resolve
from onggi.spec import reference
from onggi.store import images as rows


def target(repository: str, tag: str = "") -> reference.Reference:
    """The name that `repo` and `tag` of a request ask for. Raises InvalidParameter."""
    named = reference.parse(repository)
    if named.digest:
        raise InvalidParameter("refusing to create a tag with a digest reference")
    return named.with_tag(tag) if tag else named.tagged()


def tag(images: Images, source: str, named: reference.Reference) -> Image:
    """Give the name; returns the image as it was resolved. Raises NoSuchImage."""
    with images.lock:
        image = resolve(images, source)
        given = named_row(images, source)
        target = given.target if given is not None else target_of(image)
        digest = given.digest if given is not None else image.manifest
        row = rows.NameRow(str(named), image.id, digest, target)
        rows.set_name(images.database, row, time.time_ns())
        failpoints.hit("tag.row-written")
        layout.write(images)
    return image

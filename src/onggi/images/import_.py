"""`docker import`, and every other way to make an image of one layer: a tar stream in, an image out.

The layer is hashed, written and unpacked in one pass; its packed bytes are kept as they came.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from onggi.errors import InvalidParameter
from onggi.images import instructions
from onggi.images.compression import DigestReader, decompress
from onggi.images.images import Images
from onggi.images.staging import NewImage, Staging
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import timestamp


def import_(
    images: Images,
    pieces: Iterable[bytes],
    *,
    name: str = "",
    message: str = "",
    changes: list[str] | None = None,
    platform: platforms.Platform | None = None,
    config: documents.Config | None = None,
) -> str:
    """Returns the image's id; `name` is canonical or empty. Raises BadArchive, InvalidParameter, NoSpace."""
    config = instructions.apply(config or documents.Config(), changes or [])
    platform = platform or platforms.host()
    with Staging(images) as staging:
        blob = staging.blob(pieces, "")
        if not staging.size(blob):
            raise InvalidParameter("the archive to import is empty")
        diff_id = diff_id_of(staging, blob)
        now = timestamp.text(time.time_ns())
        document = documents.Image(
            created=now,
            architecture=platform.architecture,
            variant=platform.variant or None,
            os=platform.os,
            comment=message or None,
            config=config,
            rootfs=documents.RootFS(diff_ids=[diff_id]),
            history=[documents.History(created=now, comment=message or None)],
        )
        new = NewImage(staging.document(documents.encode(document)), [blob], [name] if name else [])
        return staging.publish([new])[0].id


def diff_id_of(staging: Staging, blob: str) -> str:
    """The digest of what a staged layer unpacks to; known already where it was unpacked as it came."""
    unpacked = staging.layer_of(blob)
    if unpacked is not None:
        return unpacked.diff_id
    with staging.open(blob) as file:
        plain = DigestReader(decompress(file))
        plain.drain()
    return plain.digest

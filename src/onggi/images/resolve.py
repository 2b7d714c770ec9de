"""What a user wrote -> the image: a full id, a name, a digest, or a prefix of one id; in Docker's order.

sha256:HEX64, HEX64     the image of that id
name@sha256:HEX         the image that this name had under that digest, or whose manifest or id it is
name[:tag]              the name; `latest` where there is no tag
HEX, sha256:HEX         a prefix of exactly one id
"""

from __future__ import annotations

from onggi.errors import InvalidParameter, NoSuchImage, NotFound
from onggi.images.images import Image, Images
from onggi.spec import digest as digests
from onggi.spec import platform as platforms
from onggi.spec import reference
from onggi.store import images as rows


def resolve(images: Images, text: str, platform: platforms.Platform | None = None) -> Image:
    """Raises NoSuchImage; NotFound when the image is of another platform than asked for; Corrupt."""
    image_id = resolve_id(images, text)
    image = images.get(image_id)
    if image is None:
        raise NoSuchImage(text)
    found = image.document.platform()
    if platform is not None and not platforms.matches(found, platform):
        raise NotFound(
            f"image with reference {text} was found but its platform ({found}) "
            f"does not match the specified platform ({platform})"
        )
    return image


def resolve_id(images: Images, text: str) -> str:
    """The full id alone, which reads no blob: a damaged image can still be removed. Raises NoSuchImage."""
    if digests.is_hex64(text) or digests.is_digest(text):
        full = digests.PREFIX + text.removeprefix(digests.PREFIX)
        if rows.get(images.database, full):
            return full
        raise NoSuchImage(full)
    shown = text
    try:
        named = reference.parse(text).tagged()
        shown = named.familiar
        found = _by_name(images, named)
    except InvalidParameter:
        if not _may_be_prefix(text):
            raise
        found = None
    return found or _by_prefix(images, text, shown)


def is_name(images: Images, text: str) -> bool:
    """Whether the text is taken as a name, not as an id or a prefix of one; `rmi` tells these apart."""
    try:
        return _by_name(images, reference.parse(text).tagged()) is not None
    except InvalidParameter:
        return False


def _by_name(images: Images, named: reference.Reference) -> str | None:
    if not named.digest:
        return rows.find_name(images.database, str(named))
    by_digest = reference.Reference(named.domain, named.path, "", named.digest)
    found = rows.find_name(images.database, str(by_digest))
    if found:
        return found
    candidate = rows.by_manifest(images.database, named.digest)
    if candidate is None and rows.get(images.database, named.digest):
        candidate = named.digest
    owned = rows.names(images.database, candidate) if candidate else []
    return candidate if any(reference.parse(row.name).name == named.name for row in owned) else None


def _may_be_prefix(text: str) -> bool:
    tail = text.removeprefix(digests.PREFIX)
    return 0 < len(tail) < 64 and set(tail) <= set("0123456789abcdef")


def _by_prefix(images: Images, text: str, shown: str) -> str:
    if not _may_be_prefix(text):
        raise NoSuchImage(shown)
    found = rows.by_prefix(images.database, digests.PREFIX + text.removeprefix(digests.PREFIX))
    if len(found) > 1:
        raise NotFound(f"No such image: {shown}: the prefix {text} is that of several images")
    if not found:
        raise NoSuchImage(shown)
    return found[0]

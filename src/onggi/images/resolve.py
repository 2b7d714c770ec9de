"""What a user wrote -> the image: a full id, a name, a digest, or a prefix of one id; in Docker's order.

sha256:HEX64, HEX64     the image of that id
name@sha256:HEX         the image that this name had under that digest, or whose manifest or id it is
name[:tag]              the name; `latest` where there is no tag
HEX, sha256:HEX         a prefix of exactly one id, or else of one manifest or index
"""

from __future__ import annotations

from onggi.errors import InvalidParameter, NoSuchImage, NotFound
from onggi.images import indexes
from onggi.images.images import Image, Images
from onggi.images.media_types import artifact_type
from onggi.spec import digest as digests
from onggi.spec import platform as platforms
from onggi.spec import reference
from onggi.store import images as rows
from onggi.store import indexes as index_rows


def resolve(images: Images, text: str, platform: platforms.Platform | None = None) -> Image:
    """The image of a name for a platform, without one the leading one; of an id that image, or the one beside
    it. Raises NoSuchImage; NotFound when none that is here is of the platform asked for; Corrupt.
    """
    image_id = resolve_id(images, text)
    image = images.get(image_id)
    if image is None:
        raise NoSuchImage(text)
    if platform is None or image.artifact:
        return image
    for target in _targets(images, text, image):
        served = indexes.serving(images, target, platform)
        found = images.get(served) if served else None
        if found is not None:
            return found
    if platforms.matches(image.document.platform(), platform):
        return image
    raise _mismatch(images, text, image, platform)


def runnable(images: Images, text: str, platform: platforms.Platform | None = None) -> Image:
    """The same, of what a container can be made of. Raises InvalidParameter for an artifact."""
    image = resolve(images, text, platform)
    if image.artifact:
        kind = artifact_type(images.manifest(image))
        raise InvalidParameter(f"{text} is an artifact of type {kind}, not an image: it cannot be run")
    return image


def _targets(images: Images, text: str, image: Image) -> list[str]:
    """The indexes in which a platform is looked for: that of the name, or those of an id's names."""
    named = named_row(images, text)
    if named is not None and named.image_id == image.id:
        return [named.target] if named.target else []
    return list(dict.fromkeys(row.target for row in image.names if row.target))


def _mismatch(images: Images, text: str, image: Image, platform: platforms.Platform) -> NotFound:
    several = any(
        len(index_rows.members(images.database, target)) > 1 for target in _targets(images, text, image)
    )
    found = f"with reference {text} was found but"
    if several:
        return NotFound(f"image {found} does not provide the specified platform ({platform})")
    return NotFound(
        f"image {found} its platform ({image.document.platform()}) "
        f"does not match the specified platform ({platform})"
    )


def named_row(images: Images, text: str) -> rows.NameRow | None:
    """The row of a text that is a name which is here; an id has none."""
    try:
        named = reference.parse(text).tagged()
    except InvalidParameter:
        return None
    stored = reference.Reference(named.domain, named.path, "", named.digest) if named.digest else named
    return rows.get_name(images.database, str(stored))


def resolve_id(images: Images, text: str) -> str:
    """The full id alone, which reads no blob: a damaged image can still be removed. Raises NoSuchImage."""
    if digests.is_hex64(text) or digests.is_digest(text):
        full = digests.PREFIX + text.removeprefix(digests.PREFIX)
        if rows.get(images.database, full):
            return full
        found = rows.by_manifest(images.database, full) or rows.leader(images.database, full)
        if found:
            return found
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
    prefix = digests.PREFIX + text.removeprefix(digests.PREFIX)
    found = rows.by_prefix(images.database, prefix) or rows.by_manifest_prefix(images.database, prefix)
    if len(found) > 1:
        raise NotFound(f"No such image: {shown}: the prefix {text} is that of several images")
    if not found:
        raise NoSuchImage(shown)
    return found[0]

"""Names of images as people write them: `name`, `name:tag`, `host:5000/name@sha256:...`."""

from __future__ import annotations

from onggi.cli.errors import CommandError


def split(image: str) -> tuple[str, str]:
    """(name, tag or digest); the second is empty where there is none."""
    name, at, digest = image.partition("@")
    if at:
        base, colon, tag = name.rpartition(":")
        return (base if colon and "/" not in tag else name), digest
    base, colon, tag = image.rpartition(":")
    return (base, tag) if colon and "/" not in tag else (image, "")


def check(image: str) -> None:
    """The faults that a client finds itself. Raises CommandError."""
    name, _ = split(image)
    if not name or image.startswith(("-", ":")) or any(letter.isspace() for letter in image):
        raise CommandError("invalid reference format")
    host, slash, rest = name.partition("/")
    remote = (
        rest
        if slash and (any(mark in host for mark in ".:") or host == "localhost" or host != host.lower())
        else name
    )
    if remote != remote.lower():
        shown = remote if "/" in remote else f"library/{remote}" if remote == name else remote
        raise CommandError(f"invalid reference format: repository name ({shown}) must be lowercase")
    if (
        any(not (letter.isalnum() or letter in "._-/") for letter in remote)
        or "//" in remote
        or remote.endswith("/")
    ):
        raise CommandError("invalid reference format")
    if len(image) == 64 and all(letter in "0123456789abcdef" for letter in image):
        return


def check_target(image: str) -> None:
    """As check, for a name that is given: no digest. Raises CommandError."""
    try:
        check(image)
    except CommandError as error:
        raise CommandError(
            f'Error parsing reference: "{image}" is not a valid repository/tag: {error.message}'
        ) from None
    if "@" in image:
        raise CommandError("refusing to create a tag with a digest reference")


def full(image: str, *, tagged: bool = True) -> str:
    """With the registry and the tag: `busybox` is `docker.io/library/busybox:latest`."""
    host, slash, _ = image.partition("/")
    hosted = slash and (any(mark in host for mark in ".:") or host == "localhost")
    whole = image if hosted else f"docker.io/{image}" if slash else f"docker.io/library/{image}"
    return familiar(whole) if tagged else whole


def familiar(image: str) -> str:
    """With the default tag where none was written: `busybox` is `busybox:latest`."""
    name, tag = split(image)
    return image if tag else f"{name}:latest"

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


def familiar(image: str) -> str:
    """With the default tag where none was written: `busybox` is `busybox:latest`."""
    name, tag = split(image)
    return image if tag else f"{name}:latest"

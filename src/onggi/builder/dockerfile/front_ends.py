"""Which front end a file asks for: `# syntax=IMAGE`, or the build argument BUILDKIT_SYNTAX before that.

All versions of docker/dockerfile and docker/dockerfile-upstream, from whichever registry, are read by this
engine itself; `onggi` switches its extensions on. A front end that is another image is not run: a file that
is written for one is refused, for it says something else here, or nothing.
Source: BuildKit v0.22 frontend/dockerfile/parser/directives.go, DetectSyntax.
"""

from __future__ import annotations

import re

import msgspec

from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.instructions import Location
from onggi.errors import InvalidParameter
from onggi.spec import reference as references

OWN = ("docker/dockerfile", "docker/dockerfile-upstream")
EXTENDED = "onggi"  # `# syntax=onggi`, with or without a tag
ARGUMENT = "BUILDKIT_SYNTAX"
HEAD_BYTES = 64 << 10
_DIRECTIVE = re.compile(r"(?:#|//)\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")


def check(asked: str) -> None:
    """`asked` is an image, and what the front end is to be told behind it. Raises InvalidParameter."""
    name = asked.strip().partition(" ")[0]
    if name and not _is_own(name):
        raise InvalidParameter(
            f"syntax={name}: this engine reads Dockerfiles itself and runs no front end from an image: take "
            "the line (or BUILDKIT_SYNTAX) away, name docker/dockerfile, or build with a BuildKit elsewhere "
            "(docker buildx create) and load the result"
        )


def check_file(data: bytes) -> None:
    """Raises DockerfileError for a file that is written for a front end of another image."""
    found = _asked(data)
    if found is not None:
        try:
            check(found[0])
        except InvalidParameter as error:
            raise DockerfileError(error.message, Location(found[1], found[1])) from None


def _is_own(name: str) -> bool:
    try:
        named = references.parse(name)
    except InvalidParameter:
        return False
    ours = any(named.path == one or named.path.endswith(f"/{one}") for one in OWN)
    return ours or named.familiar_name == EXTENDED


def _asked(data: bytes) -> tuple[str, int] | None:
    """The value and its line: behind `#` or `//`, or in a JSON object; a first line `#!...` is skipped."""
    text = data.removeprefix(b"\xef\xbb\xbf")
    lines = text[:HEAD_BYTES].decode("utf-8", "replace").split("\n")
    first = 1 if lines[0].startswith("#!") else 0
    for mark in ("#", "//"):
        for number, line in enumerate(lines[first:], first + 1):
            found = _DIRECTIVE.match(line.strip()) if line.strip().startswith(mark) else None
            if found is None:
                break
            if found[1].lower() == "syntax":
                return found[2], number
    if text.lstrip()[:1] == b"{":
        try:
            value = msgspec.json.decode(text, type=dict[str, object]).get("syntax")
        except (msgspec.DecodeError, RecursionError):
            return None
        return (value, 1) if isinstance(value, str) else None
    return None

"""Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top, each once, before any other
comment.

Source: docs.docker.com "Dockerfile reference", "Parser directives". Which front ends `syntax` may name:
front_ends.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from onggi.builder.dockerfile import front_ends
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.instructions import Location

KNOWN = ("syntax", "escape", "check")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")


class Directives(msgspec.Struct, frozen=True):
    """Their values as written; `escape` is a backslash where nothing else is said. `lines` is how many
    there are.
    """

    syntax: str = ""
    escape: str = "\\"
    check: str = ""
    lines: int = 0

    @property
    def extended(self) -> bool:
        """Whether the file asks for this project's own extensions (INCLUDE)."""
        return self.syntax.partition(":")[0] == front_ends.EXTENDED


def read(lines: Iterable[str]) -> Directives:
    """The directives of a file's first lines (stripped). Raises DockerfileError."""
    found: dict[str, str] = {}
    number = 0
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.match(line)
        name = match[1].lower() if match else ""
        if match is None or name not in KNOWN:
            number -= 1
            break
        if name in found:
            raise DockerfileError(f"only one {name} parser directive can be used", Location(number, number))
        if name == "escape" and match[2] not in ("\\", "`"):
            raise DockerfileError(
                f"invalid escape token '{match[2]}' does not match ` or \\", Location(number, number)
            )
        found[name] = match[2]
    return Directives(**found, lines=number) if found else Directives()

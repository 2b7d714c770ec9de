"""/etc/subuid and /etc/subgid (subuid(5)): which ids of the host somebody may use for his containers.

name-or-number:first:count
"""

from __future__ import annotations

from typing import NamedTuple

from onggi.errors import InvalidParameter
from onggi.kernel.ids import COUNT, LINES
from onggi.spec.number import whole

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"

Extent = tuple[int, int, int]  # first id inside, first id on the host, how many


class Range(NamedTuple):
    owner: str
    first: int
    size: int


def read(path: str) -> list[Range]:
    """All ranges of a file; a missing file has none. Raises InvalidParameter for a line that is none."""
    return [_range(path, line) for line in _lines(path)]


def extents(
    path: str, name: str, number: int | None, inside: int = 0, most: int = LINES
) -> tuple[Extent, ...]:
    """Somebody's ranges one after another from the id `inside` on, in the file's order; what a map takes.

    Raises InvalidParameter for a line of his that is no range; those of others are not judged.
    """
    found: list[Extent] = []
    for line in _lines(path):
        if line.partition(":")[0] not in (name, str(number)):
            continue
        one = _range(path, line)
        if one.size and inside + one.size <= COUNT:
            found.append((inside, one.first, one.size))
            inside += one.size
    return tuple(found[:most])


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip() for line in file]
    except FileNotFoundError:
        return []
    return [line for line in lines if line and not line.startswith("#")]


def _range(path: str, line: str) -> Range:
    owner, _, numbers = line.partition(":")
    first, size = (whole(word, COUNT) for word in numbers.partition(":")[::2])
    if first is None or size is None or first + size > COUNT:
        raise InvalidParameter(f"{path}: not a range of ids: {line!r}")
    return Range(owner, first, size)

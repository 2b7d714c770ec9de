"""Sparse files in tar: which pieces of a file an archive stores. All five dialects come out as one map.

    old GNU       type flag S, four pieces in the header, then extension blocks of 21
    PAX 0.0       repeated records GNU.sparse.offset and GNU.sparse.numbytes
    PAX 0.1       one record GNU.sparse.map "offset,length,offset,length"
    PAX 1.0       decimal lines in front of the content, padded to a block: count, then offset and length each
    (STAR's dialect is not read by Go's archive/tar either and is refused as an unknown kind)

Source: GNU tar manual, "Storing Sparse Files". The map's size is bounded (CVE-2025-58183).
"""

from __future__ import annotations

from onggi.images.tar.entry import BLOCK, SPECIAL_BYTES

Map = list[tuple[int, int]]
MAX_OFFSET = (1 << 63) - 1


def decimal(text: bytes) -> int:
    """A non-negative decimal number and nothing else; int() alone would take signs, spaces and
    underscores.
    """
    if not text.isdigit() or len(text) > 19:
        raise ValueError(f"{text[:40]!r} is not a decimal number")
    return int(text)


def pairs(numbers: list[int]) -> Map:
    if len(numbers) % 2:
        raise ValueError("the sparse map has an offset without a length")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def checked(sparse: Map, logical: int, stored: int) -> Map:
    """The map without its empty pieces, if it is ordered, inside the file and as long as what is stored."""
    end = 0
    total = 0
    for offset, length in sparse:
        if offset < end or length < 0 or offset + length > logical:
            raise ValueError(f"the sparse map's piece {offset}+{length} is out of order or outside the file")
        end = offset + length
        total += length
    if total != stored or logical > MAX_OFFSET:
        raise ValueError(f"the sparse map describes {total} bytes, the archive stores {stored}")
    return [piece for piece in sparse if piece[1]]


def from_old_gnu(header: bytes, number: Numbers, next_block: NextBlock) -> tuple[Map, int]:
    """The map and logical size of a type S member; extension blocks are taken from `next_block`."""
    logical = number(header[483:495])
    sparse: Map = []
    block, count, start = header, 4, 386
    taken = 0
    while True:
        for at in range(start, start + 24 * count, 24):
            if block[at] == 0:
                break
            sparse.append((number(block[at : at + 12]), number(block[at + 12 : at + 24])))
        more = block[482] if block is header else block[504]
        if not more:
            return sparse, logical
        taken += BLOCK
        if taken > SPECIAL_BYTES:
            raise ValueError(f"the sparse map is longer than {SPECIAL_BYTES} bytes")
        block, count, start = next_block(), 21, 0


def from_content(next_block: NextBlock, stored: int) -> tuple[Map, int]:
    """The map of PAX 1.0, and how many bytes of content it took; they come in whole blocks."""
    taken = 0
    text = b""
    numbers: list[int] = []
    wanted = 1
    while len(numbers) < wanted:
        line, found, rest = text.partition(b"\n")
        if not found:
            if taken + BLOCK > min(stored, SPECIAL_BYTES):
                raise ValueError("the sparse map does not end inside the content")
            text += next_block()
            taken += BLOCK
            continue
        text = rest
        numbers.append(decimal(line))
        if len(numbers) == 1:
            wanted = 1 + 2 * numbers[0]
            if wanted > SPECIAL_BYTES:
                raise ValueError(f"the sparse map has {numbers[0]} pieces")
    return pairs(numbers[1:]), taken


def to_content(sparse: Map, logical: int) -> bytes:
    """The map of PAX 1.0 as it stands in front of the content.

    A hole at the end is an empty piece at the file's end: GNU tar takes the size from the last piece.
    """
    ended = bool(sparse) and sum(sparse[-1]) == logical
    pieces = sparse if ended else [*sparse, (logical, 0)]
    lines = [b"%d\n" % len(pieces)]
    lines += [b"%d\n%d\n" % piece for piece in pieces]
    text = b"".join(lines)
    return text + bytes(-len(text) % BLOCK)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Numbers = Callable[[bytes], int]
    NextBlock = Callable[[], bytes]

__all__ = ["Map", "checked", "decimal", "from_content", "from_old_gnu", "pairs", "to_content"]

"""Objects that every shim writes to lie together, so that a fork copies few pages.

A forked shim shares the zygote's memory until it writes; and it writes wherever an object lies that it merely
looks at, for the reference count is in the object. The allocator puts new objects into the holes that dead
ones left, so what a shim uses would be strewn over the whole heap, a page for each object. `fill_holes`
occupies the holes: what is imported behind it lies in pages of its own, side by side.

CPython's allocator (Objects/obmalloc.c): blocks of 16 to 512 bytes in pools of 16 KiB, one size to a pool;
a new pool is begun when no other of the size has room. Larger objects are malloc(3)'s. Where an interpreter
does it otherwise, this costs a few hundred KiB and does no harm.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_POOL_BYTES = 16384
_EMPTY = sys.getsizeof(b"")
_MOST = 4096  # objects of one size: gives up where the allocator is another one
_kept: list[Any] = [None] * 256  # larger than any pool's block from the beginning


def fill_holes() -> None:
    """Fill what is free in the pools of every size, and the larger holes of the heap. They stay filled."""
    _occupy_pools(16, lambda _: object())
    _occupy_pools(32, complex)
    for size in range(48, 513, 16):
        _occupy_pools(size, bytes)
    _occupy(528 - _EMPTY, bytes, wanted=300, farthest=560)  # malloc's: until they come from the heap's end


def _occupy_pools(size: int, make: Callable[[int], object]) -> None:
    """Until a whole pool was filled from its beginning."""
    _occupy(size - _EMPTY, make, wanted=(_POOL_BYTES - 48) // size - 1, farthest=size)


def _occupy(argument: int, make: Callable[[int], object], *, wanted: int, farthest: int) -> None:
    """Allocate until `wanted` blocks came in a row, each at most `farthest` behind the other; free those."""
    row = last = 0
    for _ in range(_MOST):
        block = make(argument)
        row = row + 1 if 0 < id(block) - last <= farthest else 1
        last = id(block)
        _kept.append(block)
        if row == wanted:
            del _kept[-row:]
            return

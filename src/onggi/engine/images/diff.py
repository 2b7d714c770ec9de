"""`onggi image diff`: ours alone."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from onggi.images import diff as differing
from onggi.images.changes import Kind
from onggi.images.diff import Difference
from onggi.images.resolve import resolve
from onggi.wire.images import ImageDifference

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def diff(engine: Engine, name: str, other: str) -> list[ImageDifference]:
    """What changed from one image to the other, in the order of the paths. Raises NoSuchImage."""
    return await engine.offload(_diff, engine, name, other)


def _diff(engine: Engine, name: str, other: str) -> list[ImageDifference]:
    old, new = resolve(engine.images, name), resolve(engine.images, other)
    return [_shown(one) for one in differing.diff(engine.images, old, new)]


def _shown(one: Difference) -> ImageDifference:
    kind = Kind.ADDED if one.old is None else Kind.DELETED if one.new is None else Kind.CHANGED
    return ImageDifference(
        path=one.path.decode("utf-8", "replace"),
        kind=int(kind),
        facts=list(one.facts),
        old_size=_size(one.old),
        new_size=_size(one.new),
    )


def _size(found: os.stat_result | None) -> int:
    """Bytes of a file; -1 for what has none, or is not there."""
    return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else -1

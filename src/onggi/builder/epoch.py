"""SOURCE_DATE_EPOCH: how it is written, and an image's configuration with nothing of the build newer than it.

Layers with such times are outputs/bundle.py's.

Source: BuildKit docs/build-repro.md; reproducible-builds.org/specs/source-date-epoch.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from onggi.builder.solver.results import Stack
from onggi.errors import InvalidParameter
from onggi.spec import timestamp
from onggi.spec.image import History, Image

NAME = "SOURCE_DATE_EPOCH"
NANO = 1_000_000_000
FIRST, LAST = -62_135_596_800, 253_402_300_799  # years 1 and 9999: what RFC 3339 can write


def seconds(name: str, text: str) -> int | None:
    """None for an empty text. Raises InvalidParameter."""
    if not text:
        return None
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and len(digits) < 16
    if not plain or not FIRST <= int(text) <= LAST:
        raise InvalidParameter(f"invalid {name}: {text}")
    return int(text)


def stamp(epoch: int) -> str:
    """RFC 3339, as images' documents have it."""
    return datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")


def dated(image: Image, base: Image | None, epoch_ns: int) -> Image:
    """Its times after the epoch, or missing, become the epoch; entries of the base's history stay."""
    theirs = list(base.history or []) if base is not None else []
    history = list(image.history or [])
    kept = 0
    while kept < min(len(theirs), len(history)) and history[kept] == theirs[kept]:
        kept += 1
    ours = [_entry(one, epoch_ns) for one in history[kept:]]
    return msgspec.structs.replace(
        image, created=_text(image.created, epoch_ns), history=[*history[:kept], *ours] or image.history
    )


def _entry(entry: History, epoch_ns: int) -> History:
    return msgspec.structs.replace(entry, created=_text(entry.created, epoch_ns))


def _text(created: str | None, epoch_ns: int) -> str:
    if created and timestamp.parse(created) <= epoch_ns:
        return created
    return stamp(epoch_ns // NANO)


def shared(stack: Stack, base: Image | None) -> int:
    """How many of a stack's layers, from below, are the base's own."""
    diff_ids = base.rootfs.diff_ids if base is not None else []
    count = 0
    for layer, diff_id in zip(stack.layers, diff_ids, strict=False):
        if layer.diff_id != diff_id:
            break
        count += 1
    return count

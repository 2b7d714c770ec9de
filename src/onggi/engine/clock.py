"""Instants: integers, nanoseconds since 1970, 0 for never; and how Docker writes and reads them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from onggi.errors import InvalidParameter

SECOND = 1_000_000_000
GO_ZERO = "0001-01-01T00:00:00Z"


def now() -> int:
    """The present instant in nanoseconds."""
    return time.time_ns()


def rfc3339(instant: int) -> str:
    """RFC 3339 in UTC with nine digits, trailing zeros dropped as Go does; Go's zero time for 0."""
    if instant == 0:
        return GO_ZERO
    seconds, nanos = divmod(instant, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{text}{fraction}Z"


_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?))?(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)?\Z"
)
_SECONDS = re.compile(r"(-?)(\d{1,19})(?:\.(\d{1,9}))?\Z", re.ASCII)
_NUMBER = r"(\d{1,19}(?:\.\d*)?|\.\d+)"
_DURATION = re.compile(rf"[+-]?(?:{_NUMBER}(?:h|ms|m|s|us|µs|μs|ns))+\Z", re.ASCII)
_PIECE = re.compile(rf"{_NUMBER}(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_MICROSECOND = 1000
_UNIT_NS = {
    "h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1000 * _MICROSECOND,
    "us": _MICROSECOND, "µs": _MICROSECOND, "μs": _MICROSECOND, "ns": 1,
}  # fmt: skip
_LIMIT = 1 << 63  # Go's int64


def parse_instant(text: str) -> int:
    """What `since` and `until` may be, in nanoseconds; the empty text is 0. Raises InvalidParameter.

    `1136073845`, `1136073845.000000001`, RFC 3339 with or without a zone (UTC), or a Go duration, which is
    so long before now.
    """
    if not text:
        return 0
    if (seconds := _SECONDS.match(text)) is not None and int(seconds[2]) < _LIMIT:
        instant = int(seconds[2]) * SECOND + int((seconds[3] or "0").ljust(9, "0"))
        return -instant if seconds[1] else instant
    if _DURATION.match(text):
        return now() - duration(text)
    found = _RFC3339.match(text)
    if found is None:
        raise InvalidParameter(f'failed to parse value as time or duration: "{text}"')
    date, clock, fraction, zone = found.groups()
    clock = clock or "00:00:00"
    clock = clock if clock.count(":") == 2 else clock + ":00"
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        whole = int(datetime.fromisoformat(f"{date}T{clock}{zone}").timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidParameter(f'parsing time "{text}": {error}') from None
    return whole * SECOND + int((fraction or "").ljust(9, "0"))


def duration(text: str) -> int:
    """A Go duration such as `1h30m` or `-1.5s` in nanoseconds. Raises InvalidParameter."""
    found = sum(_nanoseconds(*piece) for piece in _PIECE.findall(text)) if _DURATION.match(text) else _LIMIT
    if found >= _LIMIT:
        raise InvalidParameter(f'time: invalid duration "{text}"')
    return -found if text.startswith("-") else found


def _nanoseconds(number: str, unit: str) -> int:
    """As Go counts: what is less than a nanosecond is cut off."""
    whole, _, fraction = number.partition(".")
    digits = fraction[:18].ljust(18, "0")
    return int(whole or 0) * _UNIT_NS[unit] + int(digits) * _UNIT_NS[unit] // 1_000_000_000_000_000_000

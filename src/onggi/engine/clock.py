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
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|ns))+\Z")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)")
_UNIT_NS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1000, "ns": 1}


def parse_instant(text: str) -> int:
    """What `since` and `until` may be, in nanoseconds; the empty text is 0. Raises InvalidParameter.

    `1136073845`, `1136073845.000000001`, RFC 3339 with or without a zone (UTC), or a Go duration, which is
    so long before now.
    """
    if not text:
        return 0
    if re.fullmatch(r"-?\d+(\.\d{1,9})?", text):
        whole, _, fraction = text.partition(".")
        return int(whole) * SECOND + int(fraction.ljust(9, "0") or 0)
    if _DURATION.match(text):
        return now() - duration(text)
    found = _RFC3339.match(text)
    if found is None:
        raise InvalidParameter(f'parsing time "{text}": not an instant')
    date, clock, fraction, zone = found.groups()
    clock = clock or "00:00:00"
    clock = clock if clock.count(":") == 2 else clock + ":00"
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        seconds = int(datetime.fromisoformat(f"{date}T{clock}{zone}").timestamp())
    except ValueError as error:
        raise InvalidParameter(f'parsing time "{text}": {error}') from None
    return seconds * SECOND + int((fraction or "").ljust(9, "0"))


def duration(text: str) -> int:
    """A Go duration such as `1h30m` in nanoseconds. Raises InvalidParameter."""
    if not _DURATION.match(text):
        raise InvalidParameter(f'time: invalid duration "{text}"')
    return int(sum(float(number) * _UNIT_NS[unit] for number, unit in _PIECE.findall(text)))


def human(nanoseconds: int) -> str:
    """A length of time in words, with the steps that Docker's clients know ("3 minutes", "About an hour")."""
    seconds = nanoseconds // SECOND
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    steps = (
        (48, 1, "hours"),
        (24 * 14, 24, "days"),
        (24 * 60, 24 * 7, "weeks"),
        (24 * 730, 24 * 30, "months"),
    )
    for limit, size, name in steps:
        if hours < limit:
            return f"{hours // size} {name}"
    return f"{hours // (24 * 365)} years"

"""The instants in image documents: RFC 3339 text to nanoseconds since 1970 and back; 0 for Go's zero time."""

from __future__ import annotations

from datetime import UTC, datetime

from onggi.errors import InvalidParameter

GO_ZERO = "0001-01-01T00:00:00Z"


def text(instant: int) -> str:
    """RFC 3339 in UTC, nine digits, trailing zeros dropped as Go does."""
    if instant == 0:
        return GO_ZERO
    seconds, nanos = divmod(instant, 1_000_000_000)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def parse(written: str) -> int:
    """Nanoseconds since 1970; 0 for an empty text or any year before 1970. Raises InvalidParameter."""
    if not written:
        return 0
    head, dot, tail = written.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))] if dot else ""
    zone = tail[len(digits) :] if dot else ""
    try:
        moment = datetime.fromisoformat((head + zone).replace("z", "Z"))
    except ValueError:
        raise InvalidParameter(f'parsing time "{written}": not an instant of RFC 3339') from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year < 1970:
        return 0
    return int(moment.timestamp()) * 1_000_000_000 + int(digits[:9].ljust(9, "0") or 0)

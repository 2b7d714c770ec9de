"""Signals as users write them: SIGTERM, term, 15, RTMIN+3."""

from __future__ import annotations

import re
import signal

from onggi.errors import InvalidParameter
from onggi.spec.number import whole

_NUMBERS = {number.name.removeprefix("SIG"): int(number) for number in signal.Signals}
_RT_MAX = 64
_RT_MIN = 34  # glibc's SIGRTMIN; Docker's names count from it
_REAL_TIME = re.compile(r"(RTMIN|RTMAX)(?:([+-])(\d{1,2}))?\Z")


def parse(text: str) -> int:
    """The number of a signal. Raises InvalidParameter."""
    number = whole(text, _RT_MAX) or _named(text.upper().removeprefix("SIG"))
    if not 1 <= number <= _RT_MAX:
        raise InvalidParameter(f"invalid signal: {text}")
    return number


def _named(name: str) -> int:
    real_time = _REAL_TIME.match(name)
    if real_time is None:
        return _NUMBERS.get(name, 0)
    base, sign, offset = real_time.groups()
    start = _RT_MIN if base == "RTMIN" else _RT_MAX
    step = int(offset or 0) * (-1 if sign == "-" else 1)
    return start + step if _RT_MIN <= start + step <= _RT_MAX else 0

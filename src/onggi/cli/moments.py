"""Times that people write: an age (`42m`), a time (RFC 3339 or a part of it), or seconds since 1970."""

from __future__ import annotations

import time

from onggi.cli import human, values
from onggi.cli.errors import CommandError


def moment(text: str, what: str = "") -> str:
    """`seconds.nanoseconds` for the API. Raises CommandError."""
    try:
        age = values.duration(text)
    except ValueError:
        pass
    else:
        at = time.time_ns() - age
        return f"{at // 10**9}.{at % 10**9:09d}"
    try:
        return _written(text)
    except (ValueError, IndexError):
        prefix = f"{what}: " if what else ""
        raise CommandError(f'{prefix}failed to parse value as time or duration: "{text}"') from None


def _written(text: str) -> str:
    seconds, dot, fraction = text.partition(".")
    if seconds.removeprefix("-").isdigit() and (not dot or fraction.isdigit()):
        return f"{seconds}.{fraction[:9].ljust(9, '0')}" if dot else seconds
    zoned = text.endswith(("Z", "z")) or (len(text) > 6 and text[-3:-2] == ":" and text[-6:-5] in ("+", "-"))
    whole = text
    if not zoned:
        base = {10: "T00:00:00", 13: ":00:00", 16: ":00"}.get(len(text), "")
        whole = text + base
        local = time.mktime(
            (int(whole[:4]), int(whole[5:7]), int(whole[8:10]), int(whole[11:13]), int(whole[14:16]),
             int(whole[17:19]), 0, 0, -1)
        )  # fmt: skip
        if whole[4] != "-" or whole[7] != "-" or whole[10] != "T":
            raise ValueError(text)
        _, nanoseconds = human.parse_time(whole + "Z")
        return f"{int(local)}.{nanoseconds:09d}"
    at, nanoseconds = human.parse_time(whole)
    return f"{at}.{nanoseconds:09d}"

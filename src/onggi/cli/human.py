"""Times, sizes and names as Docker shows them to people.

Source: the words and steps of the docker client's tables (tests/unit/cli/test_human.py has them as cases).
"""

from __future__ import annotations

import time

from onggi.spec.age import words

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def ago(epoch: float) -> str:
    return words(time.time() - epoch) + " ago"


def _scaled(value: float, base: int, names: tuple[str, ...], digits: int) -> str:
    at = 0
    while value >= base and at < len(names) - 1:
        value /= base
        at += 1
    number = f"{value:.{digits}g}"
    if "e" in number:
        mantissa, _, exponent = number.partition("e")
        number = f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"
    return number + names[at]


def size(count: float, digits: int = 4) -> str:
    """Powers of 1000: `1.98MB`."""
    return _scaled(float(count), 1000, _DECIMAL, digits)


def binary_size(count: float) -> str:
    """Powers of 1024: `440KiB`."""
    return _scaled(float(count), 1024, _BINARY, 4)


def short_id(identifier: str) -> str:
    """Twelve digits, without the name of the hash."""
    return identifier.partition(":")[2][:12] if ":" in identifier else identifier[:12]


def ellipsis(text: str, width: int) -> str:
    """Cut to `width` letters, the last of them an ellipsis."""
    if len(text) <= width:
        return text
    return text[:width] if width <= 1 else text[: width - 1] + "\u2026"


def quoted(text: str) -> str:
    """Go's strconv.Quote."""
    out = ['"']
    for letter in text:
        if letter in '"\\':
            out.append("\\" + letter)
        elif letter in "\n\t\r\a\b\f\v":
            out.append("\\" + "ntrabfv"["\n\t\r\a\b\f\v".index(letter)])
        elif letter.isprintable():
            out.append(letter)
        elif ord(letter) < 0x80:
            out.append(f"\\x{ord(letter):02x}")
        else:
            out.append(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}")
    out.append('"')
    return "".join(out)


def clock(epoch: float) -> str:
    """`2026-11-24 04:17:06 +0000 UTC` in the local zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(epoch))


def parse_time(text: str) -> tuple[int, int]:
    """(seconds, nanoseconds) since 1970 of an RFC 3339 time. Raises ValueError."""
    if len(text) < 20 or text[10] not in "Tt ":
        raise ValueError(f'parsing time "{text}"')
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    rest = text[19:]
    nanoseconds = 0
    if rest.startswith("."):
        end = 1
        while end < len(rest) and rest[end].isdigit():
            end += 1
        nanoseconds = int(rest[1:end][:9].ljust(9, "0"))
        rest = rest[end:]
    if rest not in ("Z", "z"):
        if len(rest) != 6 or rest[0] not in "+-" or rest[3] != ":":
            raise ValueError(f'parsing time "{text}"')
        offset = int(rest[1:3]) * 3600 + int(rest[4:6]) * 60
        seconds -= offset if rest[0] == "+" else -offset
    return days(year, month, day) * 86400 + seconds, nanoseconds


def since(text: str) -> str:
    """The age of an RFC 3339 time."""
    seconds, nanoseconds = parse_time(text)
    return ago(seconds + nanoseconds / 1e9)


def days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar."""
    if month <= 2:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469


def go_time(text: str) -> str:
    """An RFC 3339 time as Go prints it: `2024-05-05 12:00:00.123 +0000 utc`."""
    day, _, rest = text.partition("T")
    return f"{day} {rest.rstrip('Z')} +0000 utc"

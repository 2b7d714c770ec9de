"""Kinds of flag values: numbers, sizes, durations, switches, each with Go's words for what is wrong.

`parse(kind, text)` raises ValueError with the text that Docker puts behind `invalid argument "x" for "--y"
flag:`. Kinds with a language of their own (mount, network, ulimit, ...) are in options/, loaded when used.
"""

from __future__ import annotations

from onggi.spec.truth import FALSE, TRUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SIZES = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _number(text: str, function: str, low: int, high: int) -> int:
    try:
        if not text or text != text.strip():
            raise ValueError
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
        value = int(text, 8) if octal else int(text, 0)
    except ValueError:
        raise ValueError(f'strconv.{function}: parsing "{text}": invalid syntax') from None
    if low == 0 and text.startswith(("-", "+")):
        raise ValueError(f'strconv.{function}: parsing "{text}": invalid syntax')
    if not low <= value <= high:
        raise ValueError(f'strconv.{function}: parsing "{text}": value out of range')
    return value


def integer(text: str) -> int:
    return _number(text, "ParseInt", -(2**63), 2**63 - 1)


def unsigned(text: str) -> int:
    return _number(text, "ParseUint", 0, 2**64 - 1)


def unsigned16(text: str) -> int:
    return _number(text, "ParseUint", 0, 2**16 - 1)


def size(text: str) -> int:
    """`512m`, `1.5g`, `100`: bytes, in powers of 1024."""
    cut = len(text)
    while cut and text[cut - 1] not in "0123456789.":
        cut -= 1
    number, suffix = text[:cut], text[cut:].strip().lower()
    try:
        amount = float(number.strip() if suffix == text[cut:].lower() or cut else number)
    except ValueError:
        raise ValueError(f"invalid size: '{text}'") from None
    if amount < 0:
        raise ValueError(f"invalid size: '{text}'")
    unit = suffix if len(suffix) == 1 else suffix.removesuffix("ib") if suffix.endswith("ib") else suffix[:-1]
    if suffix and (len(suffix) > 1 and suffix[-1] != "b"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    if unit not in _SIZES:
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(amount * 1024 ** _SIZES[unit])


def memory_swap(text: str) -> int:
    return -1 if text == "-1" else size(text)


def duration(text: str) -> int:
    """Go's time.ParseDuration: nanoseconds."""
    rest = text.lstrip("+-") if text[:1] in "+-" else text
    sign = -1 if text.startswith("-") else 1
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0.0
    while rest:
        end = 0
        while end < len(rest) and rest[end] in "0123456789.":
            end += 1
        number, rest = rest[:end], rest[end:]
        end = 0
        while end < len(rest) and rest[end] not in "0123456789.":
            end += 1
        unit, rest = rest[:end], rest[end:]
        if not number.replace(".", "", 1).isdigit():
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _UNITS[unit]
    return sign * int(total)


def nano_cpus(text: str) -> int:
    """`1.5` or `3/2` CPUs in billionths."""
    number, slash, below = text.partition("/")
    try:
        from_fraction = int(number) * 10**9 / int(below) if slash else None
        whole, _, part = number.partition(".")
        exact = int(whole or "0") * 10**9
        if part:
            exact += int(part[:9].ljust(9, "0")) * (-1 if number.startswith("-") else 1)
        precise = slash or not part[9:].strip("0")
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if not precise or (from_fraction is not None and from_fraction != int(from_fraction)):
        raise ValueError("value is too precise")
    return int(from_fraction) if from_fraction is not None else exact


def filter_word(text: str) -> str:
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


KINDS: dict[str, Callable[[str], Any]] = {
    "bool": boolean,
    "string": str,
    "int": integer,
    "uint": unsigned,
    "uint16": unsigned16,
    "bytes": size,
    "bytes:swap": memory_swap,
    "duration": duration,
    "decimal": nano_cpus,
    "list": str,
    "strings": str,
    "filter": filter_word,
}
REPEATED = (
    "list", "strings", "filter", "map", "mount", "network", "ulimit", "gpu-request", "secret", "config",
)  # fmt: skip


def parse(kind: str, text: str) -> Any:
    """The value of one occurrence of a flag. Raises ValueError."""
    function = KINDS.get(kind)
    if function is None:
        from onggi.cli.options import kinds

        function = kinds.KINDS[kind]
    return function(text)

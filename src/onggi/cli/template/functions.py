"""What a template may call: Go's own functions and Docker's.

`FUNCTIONS` by name; a function raises CallFault with Go's words. `and` and `or` decide while evaluating their
arguments and live in evaluate.py.
"""

from __future__ import annotations

from onggi.cli.template.values import Nil, kind, nested, text, true

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class CallFault(Exception):
    """A function refuses its arguments."""


def to_json(value: Any) -> str:
    """Compact, with Go's HTML escapes off, as Docker's `json` writes."""
    from onggi import jsontext

    written: str = jsontext.dumps(plain(value))
    if hasattr(value, "as_json"):  # a context writes itself, by Go's rules for HTML
        for letter in "<>&\u2028\u2029":
            written = written.replace(letter, f"\\u{ord(letter):04x}")
    return written


def plain(value: Any) -> Any:
    """Typed nils and contexts as JSON values."""
    if isinstance(value, Nil):
        return None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    as_json = getattr(value, "as_json", None)
    return as_json() if as_json else value


def _string(value: Any, function: str) -> str:
    if not isinstance(value, str):
        raise CallFault(f"wrong type for value; expected string; got {kind(value)}")
    return value


def _join(items: Any, separator: str) -> str:
    shown: list[str]
    if isinstance(items, Nil):
        return ""
    if not isinstance(items, (list, tuple)):
        raise CallFault(f"wrong type for value; expected []string; got {kind(items)}")
    shown = [nested(item) for item in items]
    return separator.join(shown)


def _split(value: Any, separator: str) -> list[str]:
    return list(_string(value, "split")) if not separator else _string(value, "split").split(separator)


def _title(value: Any) -> str:
    out, start = [], True
    for letter in _string(value, "title"):
        out.append(letter.upper() if start else letter)
        start = not (letter.isalnum() or letter in "_'")
    return "".join(out)


def _pad(value: Any, before: int, after: int) -> str:
    word = _string(value, "pad")
    return " " * before + word + " " * after if word else word


def _truncate(value: Any, limit: int) -> str:
    return _string(value, "truncate")[:limit]


def _len(value: Any) -> int:
    if isinstance(value, Nil):
        return 0
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (list, tuple, dict)):
        return len(value)
    raise CallFault("len of nil pointer" if value is None else f"len of type {kind(value)}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise CallFault(f"value has type {kind(key)}; should be string")
            value = value.get(key, _zero(value))
        elif isinstance(value, (list, tuple, str)):
            if isinstance(key, bool) or not isinstance(key, int):
                raise CallFault(f"cannot index slice/array with type {kind(key)}")
            data: Any = value.encode() if isinstance(value, str) else value
            if not 0 <= key < len(data):
                raise CallFault(f"index out of range: {key}")
            value = data[key]
        elif isinstance(value, Nil) and value.shown == "map[]":
            value = ""
        elif isinstance(value, Nil):
            raise CallFault(f"index out of range: {key}")
        else:
            raise CallFault(
                "index of untyped nil" if value is None else f"can't index item of type {kind(value)}"
            )
    return value


def _zero(mapping: dict[str, Any]) -> Any:
    """What a missing key gives: the zero of the map's value type, as far as the other values show it."""
    if mapping and all(isinstance(item, str) for item in mapping.values()):
        return ""
    return None


def _slice(value: Any, *bounds: int) -> Any:
    size = _len(value)
    for bound in bounds:
        if not 0 <= bound <= size:
            raise CallFault(f"index out of range: {bound}")
    low, high = (*bounds[:2], *(0, size)[len(bounds[:2]) :])
    if low > high:
        raise CallFault(f"invalid slice index: {low} > {high}")
    if isinstance(value, str):
        return value.encode()[low:high].decode("utf-8", "replace")
    return value[low:high]


def _comparable(first: Any, second: Any) -> None:
    numbers = (int, float)
    same = (
        (isinstance(first, bool) and isinstance(second, bool))
        or (isinstance(first, str) and isinstance(second, str))
        or (isinstance(first, numbers) and isinstance(second, numbers)
            and not isinstance(first, bool) and not isinstance(second, bool))
    )  # fmt: skip
    if not same:
        raise CallFault("incompatible types for comparison")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise CallFault("missing argument for comparison")
    for other in others:
        if first is None or other is None or isinstance(first, Nil) or isinstance(other, Nil):
            if (first is None or isinstance(first, Nil)) and (other is None or isinstance(other, Nil)):
                return True
            continue
        if isinstance(first, (dict, list)):
            raise CallFault("non-comparable type")
        _comparable(first, other)
        if first == other:
            return True
    return False


def _less(first: Any, second: Any) -> bool:
    _comparable(first, second)
    return bool(first < second)


def _print(*values: Any) -> str:
    """Go puts a space between two operands when neither is a string."""
    out = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            out += " "
        out += nested(value)
    return out


def _printf(form: Any, *values: Any) -> str:
    from onggi.cli.template.printf import printf

    return printf(_string(form, "printf"), values)


def _html(*values: Any) -> str:
    out = _print(*values)
    for letter, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        out = out.replace(letter, name)
    return out


def _urlquery(*values: Any) -> str:
    from onggi.cli.http import quote

    return quote(_print(*values), "").replace("%20", "+")


FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int | None]] = {
    # name: function, least and most arguments
    "json": (to_json, 1, 1),
    "split": (_split, 2, 2),
    "join": (_join, 2, 2),
    "title": (_title, 1, 1),
    "lower": (lambda value: _string(value, "lower").lower(), 1, 1),
    "upper": (lambda value: _string(value, "upper").upper(), 1, 1),
    "pad": (_pad, 3, 3),
    "truncate": (_truncate, 2, 2),
    "len": (_len, 1, 1),
    "index": (_index, 1, None),
    "slice": (_slice, 1, 4),
    "not": (lambda value: not true(value), 1, 1),
    "eq": (_eq, 1, None),
    "ne": (lambda first, second: not _eq(first, second), 2, 2),
    "lt": (_less, 2, 2),
    "le": (lambda first, second: not _less(second, first), 2, 2),
    "gt": (lambda first, second: _less(second, first), 2, 2),
    "ge": (lambda first, second: not _less(first, second), 2, 2),
    "print": (_print, 0, None),
    "println": (lambda *values: " ".join(map(nested, values)) + "\n", 0, None),
    "printf": (_printf, 1, None),
    "html": (_html, 0, None),
    "urlquery": (_urlquery, 0, None),
    "and": (true, 1, None),
    "or": (true, 1, None),
}

# In the header line of a table these leave the column's name alone.
HEADER_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int | None]] = {
    **FUNCTIONS,
    "json": (text, 1, 1),
    "title": (text, 1, 1),
    "lower": (text, 1, 1),
    "upper": (text, 1, 1),
    "truncate": (lambda value, _: value, 2, 2),
    "join": (lambda value, _: value, 2, 2),
    "split": (lambda value, _: value, 2, 2),
}

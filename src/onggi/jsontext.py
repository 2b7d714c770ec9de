"""JSON through the interpreter's own C scanner, without the import of the json package.

`import json` costs 13 ms of CPU (it imports re and enum); the command line and onggi-runtime have less
than that to spend. Same results as json.loads and json.dumps(ensure_ascii=False, separators=(",", ":")).
The daemon uses msgspec instead.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False  # mypy knows the name; importing typing costs 11 ms
if TYPE_CHECKING:
    from typing import Any


class _Context:
    """What `_json.make_scanner` reads its options from."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> object:
        raise ValueError(f"invalid JSON constant: {name}")


_scan = _json.make_scanner(_Context())  # type: ignore[arg-type]


def loads(text: str | bytes) -> Any:
    """Parse one JSON document. Raises ValueError with the position of the fault."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    text = text.strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"invalid JSON at character {stop.value}") from None
    except SystemError:  # the scanner looks for its error class in json.decoder, which nobody has imported
        from json.decoder import JSONDecoder

        raise ValueError(f"invalid JSON: {_fault(JSONDecoder().decode, text)}") from None
    except RecursionError:
        raise ValueError("invalid JSON: too deeply nested") from None
    if end != len(text):
        raise ValueError(f"invalid JSON: extra data at character {end}")
    return value


def _fault(decode: Any, text: str) -> str:
    try:
        decode(text)
    except ValueError as error:
        return str(error)
    return "not understood"


def dumps(value: Any) -> str:
    """Write a JSON document in its compact form. Raises TypeError for what JSON does not have."""
    out: list[str] = []
    _write(value, out.append)
    return "".join(out)


def _write(value: Any, put: Any) -> None:
    if value is None:
        put("null")
    elif value is True:
        put("true")
    elif value is False:
        put("false")
    elif isinstance(value, str):
        put(_json.encode_basestring(value))
    elif isinstance(value, (int, float)):
        put(repr(value))
    elif isinstance(value, dict):
        separator = "{"
        for key, item in value.items():
            put(separator)
            put(_json.encode_basestring(str(key)))
            put(":")
            _write(item, put)
            separator = ","
        put("{}" if separator == "{" else "}")
    elif isinstance(value, (list, tuple)):
        separator = "["
        for item in value:
            put(separator)
            _write(item, put)
            separator = ","
        put("[]" if separator == "[" else "]")
    else:
        raise TypeError(f"not a JSON value: {type(value).__name__}")

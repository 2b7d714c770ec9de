"""Reading a document's fields: the value with the type that the specification says, or InvalidParameter."""

from __future__ import annotations

from onggi.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMES = {dict: "an object", list: "an array", str: "a string", int: "an integer", bool: "true or false"}


def wrong(path: str, value: object, why: str) -> InvalidParameter:
    return InvalidParameter(f"{path}: {value!r} {why}")


def field(document: dict[str, Any], key: str, kind: type, default: Any, where: str = "") -> Any:
    """document[key], or `default` where it is missing or null. Raises InvalidParameter for another type."""
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise wrong(f"{where}.{key}" if where else key, value, f"is not {_NAMES[kind]}")
    return value


def strings(document: dict[str, Any], key: str, where: str = "") -> list[str]:
    """An array of strings, without NUL bytes; empty where it is missing."""
    values: list[str] = field(document, key, list, [], where)
    for index, value in enumerate(values):
        if not isinstance(value, str) or "\0" in value:
            raise wrong(f"{where}.{key}[{index}]" if where else f"{key}[{index}]", value, "is not a string")
    return values


def objects(document: dict[str, Any], key: str, where: str = "") -> list[dict[str, Any]]:
    """An array of objects; empty where it is missing."""
    values: list[dict[str, Any]] = field(document, key, list, [], where)
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise wrong(f"{where}.{key}[{index}]" if where else f"{key}[{index}]", value, "is not an object")
    return values

"""YAML of spec files -> what JSON would have given.

Built from events, so that nothing can be deeper or other than expected: no aliases (a small file could stand
for gigabytes), no tags, no second document, no key twice. A scalar is a text unless its key is in `NUMBERS`:
a device that is named 0 or yes keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml  # in the daemon only where a .yaml file is (catalog.py)

DEPTH = 16
NUMBERS = frozenset({"major", "minor", "fileMode", "uid", "gid", "timeout", "additionalGids"})
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def loads(data: bytes) -> Any:
    """Raises ValueError with the line of the fault."""
    try:
        events = yaml.parse(data, Loader=_LOADER)
        _expect(events, yaml.StreamStartEvent)
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        found = _value(events, next(events), "", 0)
        _expect(events, yaml.DocumentEndEvent)
        _expect(events, yaml.StreamEndEvent)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    return found


def _expect(events: Iterator[Any], kind: type) -> None:
    event = next(events)
    if not isinstance(event, kind):
        raise ValueError(f"line {_line(event)}: a second document")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _value(events: Iterator[Any], event: Any, key: str, depth: int) -> Any:
    if depth > DEPTH:
        raise ValueError(f"line {_line(event)}: more than {DEPTH} levels")
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise ValueError(f"line {_line(event)}: aliases are not read")
    if event.tag not in (None, "!"):
        raise ValueError(f"line {_line(event)}: tag {event.tag} is not read")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event, key)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(events, event, key, depth + 1))
        return items
    return _mapping(events, depth)


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None:
            raise ValueError(f"line {_line(event)}: a key must be a plain text")
        if event.value in found:
            raise ValueError(f'line {_line(event)}: key "{event.value}" already set')
        found[event.value] = _value(events, next(events), event.value, depth + 1)
    return found


def _scalar(event: Any, key: str) -> Any:
    if event.style:
        return event.value
    if event.value in ("", "~", "null", "Null", "NULL"):
        return None
    if key in NUMBERS:
        return _number(event.value)
    if key.startswith("enable"):
        return BOOLEANS.get(event.value, event.value)
    return event.value


def _number(text: str) -> int | str:
    """Decimal, 0x, 0o, or YAML 1.1's octal `0660`; what is none stays a text, and is refused as one."""
    digits = text.replace("_", "")
    try:
        if len(digits) > 1 and digits.startswith("0") and digits.isdigit():
            return int(digits, 8)
        return int(digits, 0) if len(digits) < 20 else text
    except ValueError:
        return text

"""Filters of `ListenBuildHistory`: each a line of fields that all hold; a record passes with any of them.

    ref==X  ref!=X  ref~=RE      status, repository the same
    startedAt>=TIME  completedAt<24h  duration>1m30s      TIME: RFC 3339, or how long ago

status is running, completed, error or canceled.
Source: BuildKit v0.22 solver/llbsolver/history.go, containerd pkg/filters.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from typing import Any

from onggi.builder.dockerfile import gitrefs
from onggi.builder.patterns import Pattern
from onggi.engine import clock
from onggi.errors import InvalidParameter

Matches = Callable[[Any], bool]
TIMES = ("startedAt", "completedAt", "duration")
_FIELD = re.compile(r"(\w+)\s*(==|!=|~=)\s*(.*)", re.DOTALL)
_TIME = re.compile(r"(\w+)\s*(>=|<=|>|<)\s*(.*)", re.DOTALL)


def matcher(lines: Iterable[str]) -> Matches:
    """Raises InvalidParameter."""
    wanted = [_line(line) for line in lines]
    return lambda record: not wanted or any(all(one(record) for one in each) for each in wanted)


def status(record: Any) -> str:
    if not record.HasField("CompletedAt"):
        return "running"
    if not record.HasField("error"):
        return "completed"
    return "canceled" if "context canceled" in record.error.message else "error"


def _line(line: str) -> list[Matches]:
    try:
        fields = [field for row in csv.reader([line]) for field in row]
    except csv.Error as error:
        raise InvalidParameter(f"failed to parse history filters {line!r}: {error}") from None
    return [_field(field) for field in fields if field]


def _field(field: str) -> Matches:
    timed = _TIME.fullmatch(field)
    if timed is not None and timed[1] in TIMES:
        return _timed(*timed.groups())
    found = _FIELD.fullmatch(field)
    if found is None or found[1] not in _VALUES:
        known = ", ".join([*_VALUES, *TIMES])
        raise InvalidParameter(f"failed to parse history filters {field!r}: one of {known}")
    name, operator, value = found.groups()
    value = value.strip('"')
    read = _VALUES[name]
    if operator == "==":
        return lambda record: read(record) == value
    if operator == "!=":
        return lambda record: read(record) != value
    pattern = Pattern(value)
    return lambda record: pattern.search(read(record))


def _repository(record: Any) -> str:
    attributes = record.FrontendAttrs
    if "vcs:source" in attributes:
        return str(attributes["vcs:source"])
    found = gitrefs.parse(attributes["context"], context=True) if "context" in attributes else None
    return found.remote if found is not None else ""


_VALUES: dict[str, Callable[[Any], str]] = {
    "ref": lambda record: str(record.Ref),
    "status": status,
    "repository": _repository,
}


def _timed(name: str, operator: str, value: str) -> Matches:
    limit = _span(value) if name == "duration" else _instant(value)
    compare = {
        ">=": int.__ge__, "<=": int.__le__, ">": int.__gt__, "<": int.__lt__,
    }[operator]  # fmt: skip

    def matches(record: Any) -> bool:
        begun, ended = _ns(record.CreatedAt), _ns(record.CompletedAt)
        if name == "startedAt":
            return bool(compare(begun, limit))
        if name == "completedAt":
            return bool(compare(ended, limit))
        return bool(compare(ended - begun if ended else 0, limit))

    return matches


def _ns(at: Any) -> int:
    return int(at.seconds) * 1_000_000_000 + int(at.nanos)


def _instant(value: str) -> int:
    try:
        return clock.parse_instant(value)
    except InvalidParameter:
        raise InvalidParameter(f"invalid time {value}") from None


def _span(value: str) -> int:
    try:
        return clock.duration(value)
    except InvalidParameter:
        raise InvalidParameter(f"invalid duration {value}") from None

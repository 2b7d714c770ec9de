"""Filters of list, prune and event operations: Docker's JSON, as name -> values.

Two forms arrive: `{"label": ["a", "b"]}` and, from clients since 1.22, `{"label": {"a": true, "b": true}}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import msgspec

from onggi.errors import InvalidParameter

Filters = Mapping[str, Sequence[str]]

_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")


def parse(text: str) -> dict[str, list[str]]:
    """The `filters` parameter; the empty text filters nothing. Raises InvalidParameter."""
    if not text:
        return {}
    try:
        document = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise InvalidParameter(f"invalid filters: {error}") from None
    return {name: _values(values) for name, values in document.items()}


def _values(values: dict[str, bool] | list[str]) -> list[str]:
    return list(values) if isinstance(values, list) else [value for value, on in values.items() if on]


def check(filters: Filters, known: Set[str]) -> None:
    """Raises InvalidParameter in dockerd's words for a filter that the operation does not have."""
    for name in filters:
        if name not in known:
            raise InvalidParameter(f"invalid filter '{name}'")


def truth(filters: Filters, name: str) -> bool | None:
    """The truth that a filter such as `dangling` asks for; None without it. Raises InvalidParameter."""
    values = set(filters.get(name, ()))
    if not values:
        return None
    if values <= set(_TRUE):
        return True
    if values <= set(_FALSE):
        return False
    raise InvalidParameter(f"invalid filter '{name}={sorted(values)}'")


def labels_match(labels: Mapping[str, str], wanted: Sequence[str]) -> bool:
    """Does every `key` or `key=value` hold?"""
    return all(_label_matches(labels, item) for item in wanted)


def _label_matches(labels: Mapping[str, str], item: str) -> bool:
    key, equals, value = item.partition("=")
    return key in labels and (not equals or labels[key] == value)


def labels_pass(labels: Mapping[str, str], filters: Filters) -> bool:
    """The `label` and `label!` filters of prune: all of the former hold, none of the latter does."""
    refused = any(_label_matches(labels, item) for item in filters.get("label!", ()))
    return labels_match(labels, filters.get("label", ())) and not refused

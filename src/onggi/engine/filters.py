"""Filters of list, prune and event operations: Docker's JSON, as name -> values.

Two forms arrive: `{"label": ["a", "b"]}` and, from clients since 1.22, `{"label": {"a": true, "b": true}}`:
the keys count, whatever the truths. As Go reads them, null is nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec

from onggi.engine import clock
from onggi.engine.regexp import pathpattern
from onggi.engine.regexp.expression import Budget, Expression, TooCostly
from onggi.engine.regexp.syntax import Invalid
from onggi.errors import InvalidParameter

Filters = Mapping[str, Sequence[str]]

_FALSE = frozenset(("0", "false"))
_TRUE = frozenset(("1", "true"))
_OPERATORS = frozenset("\\.+*?()|[]{}^$")


def parse(text: str) -> dict[str, list[str]]:
    """The `filters` parameter; the empty text filters nothing. Raises InvalidParameter."""
    if not text:
        return {}
    try:
        sets = _decoded(text, dict[str, dict[str, bool | None] | None] | None)
        return {name: list(values or ()) for name, values in sets.items()}
    except msgspec.ValidationError as error:
        reason = error
    try:
        lists = _decoded(text, dict[str, list[str | None] | None] | None)
    except msgspec.ValidationError:
        raise InvalidParameter(f"invalid filter: {reason}") from None
    return {
        name: list(dict.fromkeys(value or "" for value in values or ())) for name, values in lists.items()
    }


def _decoded(text: str, kind: Any) -> dict[str, Any]:
    """Raises msgspec.ValidationError (another shape), InvalidParameter."""
    try:
        return msgspec.json.decode(text, type=kind) or {}
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise InvalidParameter(f"invalid filter: {error}") from None


def check(filters: Filters, known: Set[str]) -> None:
    """Raises InvalidParameter in dockerd's words for a filter that the operation does not have."""
    for name in filters:
        if name not in known:
            raise InvalidParameter(f"invalid filter '{name}'")


def truth(filters: Filters, name: str) -> bool | None:
    """The truth that a filter such as `dangling` asks for; None without it. Raises InvalidParameter."""
    if name not in filters:
        return None
    values = set(filters[name])
    if not values:
        raise InvalidParameter(f"invalid filter '{name}'")
    if bool(values & _TRUE) is bool(values & _FALSE):  # neither, or both
        raise InvalidParameter(f"invalid filter '{name}=[{' '.join(sorted(values))}]'")
    return bool(values & _TRUE)


def until(filters: Filters) -> int:
    """The instant of a prune's `until`, in ns; 0 without one. Raises InvalidParameter."""
    given = filters.get("until", ())
    if len(given) > 1:
        raise InvalidParameter("more than one until filter specified")
    return instant(given[0]) if given else 0


def instant(text: str) -> int:
    """The value of an `until` in ns, never 0: an empty one is refused. Raises InvalidParameter."""
    return clock.parse_instant(text or '""') or 1


class Names:
    """The values of a filter whose values are regular expressions: does one of them find a name?

    What is no regular expression finds the name that it is, as in dockerd. All values together have one
    bound on their work. Raises InvalidParameter.
    """

    def __init__(self, filter_: str, values: Sequence[str]) -> None:
        self._exact = frozenset(values)
        self._parts = [value for value in values if not _OPERATORS.intersection(value)]
        self._others = _Expressions(filter_)
        for value in values:
            if _OPERATORS.intersection(value):
                with contextlib.suppress(Invalid):
                    self._others.add(value)

    def find(self, name: str) -> bool:
        """Raises InvalidParameter (too costly)."""
        return name in self._exact or any(part in name for part in self._parts) or self._others.find(name)


class Patterns:
    """The values of a filter whose values are patterns of path.Match. Raises InvalidParameter."""

    def __init__(self, filter_: str, values: Sequence[str]) -> None:
        self._given = bool(values)
        self._expressions = _Expressions(filter_)
        for value in values:
            try:
                self._expressions.add(pathpattern.expression(value))
            except Invalid:
                raise InvalidParameter(
                    f"invalid filter '{filter_}={value}': syntax error in pattern"
                ) from None

    def __bool__(self) -> bool:
        return self._given

    def match(self, name: str) -> bool:
        """Raises InvalidParameter (too costly)."""
        return self._expressions.find(name)


class _Expressions:
    """Any of several regular expressions of one filter, with one bound on their work."""

    def __init__(self, filter_: str) -> None:
        self._filter = filter_
        self._budget = Budget()
        self._all: list[Expression] = []

    def add(self, text: str) -> None:
        """Raises Invalid, InvalidParameter (too costly)."""
        try:
            self._all.append(Expression(text, self._budget))
        except TooCostly:
            raise self._refused() from None

    def find(self, text: str) -> bool:
        try:
            return any(expression.search(text) for expression in self._all)
        except TooCostly:
            raise self._refused() from None

    def _refused(self) -> InvalidParameter:
        return InvalidParameter(f"invalid filter '{self._filter}': its values take too many steps")


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

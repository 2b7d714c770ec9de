"""Regular expressions that a client sends, on texts that it sends too: bounded in what they can cost.

They are searched for by engine/regexp (RE2's syntax, time linear in the text). That tells whether, not where:
a replacement needs Python's search by trying. So of expressions that replace, what can try for ever is
refused: repeated groups, and more than REPEATS_MAX repeats; also what Go has not (back-references,
look-around). That leaves the fourth power of TEXT_MAX at most, divided by 24: less than a second.
"""

from __future__ import annotations

import re

from onggi.engine.regexp.expression import Expression, TooCostly
from onggi.engine.regexp.syntax import Invalid
from onggi.errors import InvalidParameter

PATTERN_MAX = 512
TEXT_MAX = 200  # of one in which is replaced
REPEATS_MAX = 3
_CLASS = re.compile(r"\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\\[^1-9]")
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{\d*,?\d*\})")
_FOREIGN = re.compile(r"\\[1-9]|\(\?[=!<#(>]|[*+?}]\+")
_REPEAT = re.compile(r"[*+]|\{\d*,?\d*\}")
_MAYBE = re.compile(r"(?<![(*+?}])\?")


class Pattern:
    """A compiled one, to be searched for: Go's MatchString. Raises InvalidParameter."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            if len(text) > PATTERN_MAX:
                raise Invalid(f"more than {PATTERN_MAX} characters")
            self._expression = Expression(text)
        except (Invalid, TooCostly) as error:
            raise self._wrong(error) from None

    def _wrong(self, error: Exception) -> InvalidParameter:
        return InvalidParameter(f"invalid regex {self._text!r}: {error or 'it costs too much'}")

    def search(self, text: str) -> bool:
        """Raises InvalidParameter where that takes too many steps."""
        try:
            return self._expression.search(text)
        except TooCostly as error:
            raise self._wrong(error) from None


class Replacing(Pattern):
    """One that can replace, too: Go's ReplaceAllString."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        bare = _CLASS.sub("x", text)
        try:
            if _REPEATED_GROUP.search(bare):
                raise Invalid("a group is repeated")
            if _FOREIGN.search(bare):
                raise Invalid("back-references, look-around and possessive repeats are not known")
            if len(_REPEAT.findall(bare)) > REPEATS_MAX or len(_MAYBE.findall(bare)) > REPEATS_MAX:
                raise Invalid(f"more than {REPEATS_MAX} repeats in one that replaces")
            self._compiled = re.compile(text)
        except (Invalid, re.error, RecursionError, OverflowError) as error:
            raise self._wrong(error) from None

    def replace(self, text: str, format_: str) -> str:
        """Every match becomes `format_`, with $1 and ${name} filled in. Raises InvalidParameter."""
        if len(text) > TEXT_MAX:
            raise InvalidParameter(f"{text[:40]!r}... has more than {TEXT_MAX} characters for a regex")
        return self._compiled.sub(
            lambda match: expand(format_, [match[0], *match.groups("")], match.groupdict("")), text
        )


def expand(format_: str, groups: list[str], names: dict[str, str]) -> str:
    """Go's Regexp.Expand: $name, ${name}, $1, $$; what there is none of is empty."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name.isdecimal():
            return groups[int(name)] if int(name) < len(groups) else ""
        return names.get(name, "")

    return re.sub(r"\$(?:\$|\{(\w+)\}|(\w+))", value, format_, flags=re.ASCII)

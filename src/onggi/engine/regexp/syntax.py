r"""From the text of a regular expression to a tree, in the syntax of RE2, which is that of Go and Docker.

    choice  = sequence { "|" sequence }
    repeat  = atom ( "*" | "+" | "?" | "{n}" | "{n,}" | "{n,m}" ) [ "?" ]
    atom    = x  .  ^  $  [class]  (...)  (?:...)  (?P<name>...)  (?imsU)  \d \w \s \b \A \z \pL \x41 \Q...\E

As there, nothing looks back or ahead. Scripts (\p{Greek}) are not known, general categories are.
Source: google/re2/wiki/Syntax; documentation of Go's regexp/syntax.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DEPTH_MAX = 100
REPEAT_MAX = 1000
LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]

_DIGIT: Ranges = ((48, 57),)
_UPPER: Ranges = ((65, 90),)
_LOWER: Ranges = ((97, 122),)
_WORD: Ranges = (*_DIGIT, *_UPPER, (95, 95), *_LOWER)
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_POSIX: dict[str, Ranges] = {
    "alnum": (*_DIGIT, *_UPPER, *_LOWER),
    "alpha": (*_UPPER, *_LOWER),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": _LOWER,
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": _UPPER,
    "word": _WORD,
    "xdigit": (*_DIGIT, (65, 70), (97, 102)),
}
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_ASSERTIONS = {"A": "begin", "z": "end", "b": "word", "B": "no word"}
_COUNTS = re.compile(r"\{(0|[1-9]\d*)(,(0|[1-9]\d*)?)?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_GROUP = re.compile(r"\(\?P?<(\w+)>", re.ASCII)
_OCTAL = re.compile(r"[1-7][0-7]{1,2}|0[0-7]{0,2}")
_HEX = re.compile(r"x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))")
_CATEGORY = re.compile(r"[pP](?:\{(\^?)([A-Za-z_]+)\}|([A-Za-z]))")
_CATEGORY_NAMES = (
    "C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs"
)
_CATEGORIES = frozenset(("Any", *_CATEGORY_NAMES.split()))


class Invalid(ValueError):
    """The text is no regular expression; says why."""


class Chars(NamedTuple):
    """One character of a set: code points, and general categories with whether they are meant negated."""

    ranges: Ranges
    negated: bool = False
    folded: bool = False
    categories: tuple[tuple[str, bool], ...] = ()

    def holds(self, char: str) -> bool:
        forms = {char, char.lower(), char.upper()} if self.folded else (char,)
        return any(len(form) == 1 and self._has(form) for form in forms) is not self.negated

    def _has(self, char: str) -> bool:
        code = ord(char)
        return any(low <= code <= high for low, high in self.ranges) or any(
            _is(char, category) is not negated for category, negated in self.categories
        )


class Assertion(NamedTuple):
    """A place: begin, end, line begin, line end, word, no word."""

    kind: str


class Sequence(NamedTuple):
    parts: tuple[Node, ...]


class Choice(NamedTuple):
    branches: tuple[Node, ...]


class Repeat(NamedTuple):
    """`most` is None without a limit."""

    part: Node
    least: int
    most: int | None


Node = Chars | Assertion | Sequence | Choice | Repeat


def parse(text: str) -> Node:
    """Raises Invalid."""
    return _Parser(text).whole()


def _is(char: str, category: str) -> bool:
    from unicodedata import category as category_of  # rarely asked for

    return category in ("Any", category_of(char), category_of(char)[0])


def _without(ranges: Ranges) -> Ranges:
    found, at = [], 0
    for low, high in sorted(ranges):
        if low > at:
            found.append((at, low - 1))
        at = max(at, high + 1)
    return (*found, (at, LAST)) if at <= LAST else tuple(found)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags: frozenset[str] = frozenset()
        self._names: set[str] = set()

    def whole(self) -> Node:
        found = self._choice(0)
        if self._at < len(self._text):
            raise Invalid("unexpected )")
        return found

    def _choice(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise Invalid("expression nests too deeply")
        branches = [self._sequence(depth)]
        while self._take("|"):
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        repeated = False
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            counts = self._counts()
            if counts is None:
                parts += self._atom(depth)
                repeated = False
                continue
            if not parts:
                raise Invalid("missing argument to repetition operator")
            if repeated:
                raise Invalid("invalid nested repetition operator")
            self._take("?")
            parts[-1] = Repeat(parts[-1], *counts)
            repeated = True
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _counts(self) -> tuple[int, int | None] | None:
        """What an operator of repetition says, when one stands here."""
        for operator, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(operator):
                return least, most
        found = self._match(_COUNTS)
        if found is None:
            return None
        if any(len(number or "") > 4 for number in (found[1], found[3])):
            raise Invalid("invalid repeat count")
        least = int(found[1])
        most = int(found[3]) if found[3] else None if found[2] else least
        if max(least, most or 0) > REPEAT_MAX or (most is not None and most < least):
            raise Invalid("invalid repeat count")
        return least, most

    def _atom(self, depth: int) -> list[Node]:
        """What stands here, apart from a repetition: nothing for flags, several for quoted text."""
        char = self._text[self._at]
        if char == "(":
            return self._group(depth)
        self._at += 1
        if char == "[":
            return [self._class()]
        if char == "\\":
            return self._escape()
        if char == ".":
            return [Chars(((0, LAST),) if "s" in self._flags else _without(((10, 10),)))]
        if char in "^$":
            place = "begin" if char == "^" else "end"
            return [Assertion(f"line {place}" if "m" in self._flags else place)]
        return [self._literal(char)]

    def _literal(self, char: str) -> Chars:
        return Chars(((ord(char), ord(char)),), folded="i" in self._flags)

    def _group(self, depth: int) -> list[Node]:
        before = self._flags
        if self._text.startswith("(?", self._at):
            if (named := self._match(_GROUP)) is not None:
                if named[1] in self._names:
                    raise Invalid("duplicate capture group name")
                self._names.add(named[1])
            elif (flags := self._match(_FLAGS)) is not None:
                self._flags = (before | set(flags[1])) - set(flags[2] or "")
                if flags[3] == ")":
                    return []
            else:
                raise Invalid("invalid or unsupported Perl syntax")
        else:
            self._at += 1
        inner = self._choice(depth + 1)
        if not self._take(")"):
            raise Invalid("missing closing )")
        self._flags = before
        return [inner]

    def _escape(self) -> list[Node]:
        following = self._text[self._at : self._at + 1]
        if following == "Q":
            end = self._text.find("\\E", self._at)
            quoted = self._text[self._at + 1 : end if end >= 0 else len(self._text)]
            self._at = end + 2 if end >= 0 else len(self._text)
            return [self._literal(char) for char in quoted]
        if following in _ASSERTIONS and following:
            self._at += 1
            return [Assertion(_ASSERTIONS[following])]
        ranges, categories = self._set()
        if ranges or categories:
            return [Chars(ranges, folded="i" in self._flags, categories=categories)]
        return [self._literal(chr(self._code()))]

    def _set(self) -> tuple[Ranges, tuple[tuple[str, bool], ...]]:
        r"""Behind a backslash: `d`, `W`, `pL`, `P{Lu}`; nothing for anything else."""
        following = self._text[self._at : self._at + 1]
        if following.lower() in _PERL and following:
            self._at += 1
            ranges = _PERL[following.lower()]
            return (_without(ranges) if following.isupper() else ranges), ()
        if following not in ("p", "P"):
            return (), ()
        found = self._match(_CATEGORY)
        name = (found[2] or found[3]) if found is not None else ""
        if found is None or name not in _CATEGORIES:
            raise Invalid("invalid character class range")
        return (), ((name, (following == "P") is not bool(found[1])),)

    def _code(self) -> int:
        """The character behind a backslash. Raises Invalid."""
        char = self._text[self._at : self._at + 1]
        if char in _CONTROLS:
            self._at += 1
            return _CONTROLS[char]
        if (octal := self._match(_OCTAL)) is not None:
            return int(octal[0], 8)
        if (digits := self._match(_HEX)) is not None:
            code = int((digits[1] or digits[2])[-8:], 16)
            if code > LAST or len(digits[1] or "") > 8:
                raise Invalid("invalid escape sequence")
            return code
        if not char or not char.isascii() or char.isalnum():
            raise Invalid("invalid escape sequence" if char else "trailing backslash at end of expression")
        self._at += 1
        return ord(char)

    def _class(self) -> Chars:
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        categories: list[tuple[str, bool]] = []
        first = True
        while first or not self._take("]"):
            if self._at >= len(self._text):
                raise Invalid("missing closing ]")
            first = False
            if (posix := self._posix()) is not None:
                ranges += posix
                continue
            if self._text[self._at] == "\\":
                self._at += 1
                some, kinds = self._set()
                ranges += some
                categories += kinds
                if some or kinds:
                    continue
                self._at -= 1
            ranges.append(self._range())
        return Chars(tuple(ranges), negated, "i" in self._flags, tuple(categories))

    def _posix(self) -> Ranges | None:
        """`[:alpha:]`, `[:^alpha:]`; a `[:` that does not end is two characters."""
        end = self._text.find(":]", self._at + 2)
        if not self._text.startswith("[:", self._at) or end < 0:
            return None
        name = self._text[self._at + 2 : end]
        self._at = end + 2
        ranges = _POSIX.get(name.removeprefix("^"))
        if ranges is None:
            raise Invalid("invalid character class range")
        return _without(ranges) if name.startswith("^") else ranges

    def _range(self) -> tuple[int, int]:
        low = high = self._member()
        if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
            self._at += 1
            high = self._member()
        if high < low:
            raise Invalid("invalid character class range")
        return low, high

    def _member(self) -> int:
        if self._at >= len(self._text):
            raise Invalid("missing closing ]")
        char = self._text[self._at]
        self._at += 1
        return self._code() if char == "\\" else ord(char)

    def _take(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found is not None else self._at
        return found

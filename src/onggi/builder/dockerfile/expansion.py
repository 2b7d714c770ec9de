r"""Shell words: quotes, escapes and variables, as the Dockerfile reference describes them.

    $name ${name}            the value, nothing where it is unset
    ${name:-word} ${name-word}   word where it is unset (or, with a colon, empty)
    ${name:+word} ${name+word}   word where it is set (and not empty)
    ${name:?word} ${name?word}   an error that says word
    ${name#pattern} ## % %%      without the shortest or longest match at the beginning or end
    ${name/pattern/text} //      with the first or every match replaced

Every `word` may hold variables again. Quotes: nothing is special in '', $ and the escape character are in "".
Results are bounded: a word that names a long variable many times is an error, not memory (`Budget`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

import msgspec

from onggi.builder.dockerfile import patterns
from onggi.builder.dockerfile.patterns import Failed
from onggi.builder.dockerfile.words import SPACE, quoted

__all__ = ["Budget", "Expanded", "Failed", "expand"]

WORD_MAX = 1 << 20  # characters of one expanded word
TOTAL_MAX = 64 << 20  # of all words of a build
NESTING_MAX = 64
QUOTES = "'\""
_SPECIAL = frozenset("@*#?-$!0")  # parameters that the POSIX shell names by a sign
_NAME = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")


class Budget:
    """What expansion may still produce, over a whole build."""

    __slots__ = ("left",)

    def __init__(self, total: int = TOTAL_MAX) -> None:
        self.left = total

    def check(self, length: int) -> None:
        if length > WORD_MAX:
            raise Failed(f"expands to more than {WORD_MAX} characters")

    def spend(self, count: int) -> None:
        self.check(count)
        self.left -= count
        if self.left < 0:
            raise Failed("the variables of this build expand to too many characters")


class Expanded(msgspec.Struct, frozen=True):
    """`text` is the whole result, `words` the same cut at white space that no quote protects. `matched` and
    `unmatched`: the variables that were asked for, and were set or not.
    """

    text: str
    words: tuple[str, ...]
    matched: frozenset[str]
    unmatched: frozenset[str]


def expand(
    word: str,
    variables: Mapping[str, str],
    *,
    escape: str = "\\",
    raw_quotes: bool = False,
    raw_escapes: bool = False,
    quotes: bool = True,
    keep_unset: bool = False,
    budget: Budget | None = None,
) -> Expanded:
    """Expand one text. `raw_quotes` and `raw_escapes` keep them in the result, `quotes=False` takes them
    for plain characters (here-documents), `keep_unset` leaves `$name` standing where the name is
    unset. Raises Failed.
    """
    budget = budget or Budget()
    budget.spend(len(word))
    reader = _Reader(word, variables, escape, raw_quotes, quotes, keep_unset, budget)
    try:
        text, words = reader.until("", raw_escapes)
    except Failed as error:
        shown = word if len(word) <= 256 else word[:253] + "..."
        raise Failed(f"failed to process {quoted(shown)}: {error}") from None
    return Expanded(text, tuple(words), frozenset(reader.matched), frozenset(reader.unmatched))


class _Words:
    """Collects a result twice: as one text, and as words."""

    __slots__ = ("inside", "part", "text", "words")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.words: list[str] = []
        self.part: list[str] = []
        self.inside = False

    def raw(self, piece: str) -> None:
        self.text.append(piece)
        self.part.append(piece)
        self.inside = True

    def plain(self, piece: str) -> None:
        """White space in it ends a word."""
        self.text.append(piece)
        start = 0
        for at, char in enumerate(piece):
            if char in SPACE:
                self._add(piece[start:at])
                self.flush()
                start = at + 1
        self._add(piece[start:])

    def _add(self, piece: str) -> None:
        if piece:
            self.part.append(piece)
            self.inside = True

    def flush(self) -> None:
        if self.inside and (whole := "".join(self.part)):
            self.words.append(whole)
            self.part = []
            self.inside = False

    def result(self) -> tuple[str, list[str]]:
        self.flush()
        return "".join(self.text), self.words


@functools.cache
def _special_characters(escape: str, stop: str, quotes: bool) -> re.Pattern[str]:
    return re.compile(f"[$<{re.escape(escape + stop)}{QUOTES if quotes else ''}]")


class _Reader:
    """Goes over one word. Functions stand behind what they read."""

    def __init__(
        self,
        source: str,
        variables: Mapping[str, str],
        escape: str,
        raw_quotes: bool,
        quotes: bool,
        keep_unset: bool,
        budget: Budget,
    ) -> None:
        self.source = source
        self.variables = variables
        self.escape = escape
        self.raw_quotes = raw_quotes
        self.quotes = quotes
        self.keep_unset = keep_unset
        self.budget = budget
        self.at = 0
        self.depth = 0
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()

    def _peek(self) -> str:
        return self.source[self.at] if self.at < len(self.source) else ""

    def _next(self) -> str:
        char = self._peek()
        self.at += 1 if char else 0
        return char

    def until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        """Text and words up to `stop` (which is read), or to the end when it is ""."""
        out = _Words()
        size = 0
        special = _special_characters(self.escape, stop, self.quotes)
        while self.at < len(self.source):
            match = special.search(self.source, self.at)
            if match is None or match.start() > self.at:
                end = match.start() if match else len(self.source)
                out.plain(self.source[self.at : end])
                self.at = end
                continue
            char = match[0]
            if stop and char == stop:
                self.at += 1
                return out.result()
            piece = self._special(char, out, raw_escapes)
            size += len(piece)
            self.budget.spend(len(piece))
            self.budget.check(size)
        if stop:
            raise Failed(f"unexpected end of statement while looking for matching {stop}")
        return out.result()

    def _special(self, char: str, out: _Words, raw_escapes: bool) -> str:
        if char == "$":
            piece = self._dollar(raw_escapes)
            out.plain(piece)
        elif char == "<":
            piece = self._angle()
            out.raw(piece)
        elif char == "'" and self.quotes:
            piece = self._single()
            out.raw(piece)
        elif char == '"' and self.quotes:
            piece = self._double(raw_escapes)
            out.raw(piece)
        else:
            self.at += 1
            following = self._next()
            piece = (char if raw_escapes else "") + following
            if following or raw_escapes:
                out.raw(piece)
        return piece

    def _angle(self) -> str:
        """`<<` with the spaces behind it belongs to the word that follows: a here-document's name."""
        self.at += 1
        if self._peek() != "<":
            return "<"
        start = self.at
        self.at += 1
        while self._peek() in ("\t", "\r", " ") and self._peek():
            self.at += 1
        return "<" + self.source[start : self.at]

    def _single(self) -> str:
        end = self.source.find("'", self.at + 1)
        if end < 0:
            raise Failed("unexpected end of statement while looking for matching single-quote")
        inner = self.source[self.at + 1 : end]
        self.at = end + 1
        return f"'{inner}'" if self.raw_quotes else inner

    def _double(self, raw_escapes: bool) -> str:
        out = [self._next() if self.raw_quotes else ""]
        self.at += 0 if self.raw_quotes else 1
        while True:
            char = self._peek()
            if not char:
                raise Failed("unexpected end of statement while looking for matching double-quote")
            if char == '"':
                self.at += 1
                return "".join(out) + ('"' if self.raw_quotes else "")
            if char == "$":
                out.append(self._dollar(raw_escapes))
                continue
            self.at += 1
            if char == self.escape:
                if raw_escapes:
                    out.append(char)
                following = self._peek()
                if not following:
                    continue
                if following in ('"', "$", self.escape):
                    char = self._next()
            out.append(char)

    def _dollar(self, raw_escapes: bool) -> str:
        self.at += 1
        if self._peek() != "{":
            name = self._name()
            return self._value(name, f"${name}") if name else "$"
        self.at += 1
        first = self._peek()
        if not first:
            raise Failed("syntax error: missing '}'")
        if first in "{}:":
            raise Failed("syntax error: bad substitution")
        name = self._name()
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise Failed(f"variables are nested more than {NESTING_MAX} deep")
        try:
            return self._braced(name)
        finally:
            self.depth -= 1

    def _braced(self, name: str) -> str:
        sign = self._next()
        if sign == "}":
            return self._value(name, f"${{{name}}}")
        if not sign:
            raise Failed("syntax error: missing '}'")
        if sign == "/":
            return self._replaced(name)
        colon = sign == ":"
        written = sign
        if colon:
            sign = self._next()
            written += sign
        if sign not in ("-", "+", "?", "#", "%") or (colon and sign in "#%"):
            raise Failed(f"unsupported modifier ({written}) in substitution")
        word = self._inner("}", sign in "#%")
        value = self._get(name)
        if value is None and self.keep_unset:
            return f"${{{name}{written}{word}}}"
        if sign in "#%":
            return self._trimmed(sign, word, value or "")
        missing = value is None or (colon and not value)
        if sign == "-":
            return word if missing else value or ""
        if sign == "+":
            return "" if missing else word
        if missing:
            state = "unset" if value is None else "empty"
            raise Failed(f"{name}: {word or f'is not allowed to be {state}'}")
        return value or ""

    def _inner(self, stop: str, raw_escapes: bool, missing: str = "missing '}'") -> str:
        try:
            return self.until(stop, raw_escapes)[0]
        except Failed:
            if self.at >= len(self.source):
                raise Failed(f"syntax error: {missing}") from None
            raise

    def _trimmed(self, sign: str, word: str, value: str) -> str:
        longest = word.startswith(sign)
        pattern = patterns.parse(word[1:] if longest else word)
        trim = patterns.without_prefix if sign == "#" else patterns.without_suffix
        return trim(pattern, value, longest=longest)

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self.at += 1 if every else 0
        pattern = self._inner("/", True, "missing '/' in ${}")
        replacement = self._inner("}", True)
        value = self._get(name)
        if value is None and self.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        parts = patterns.cut(patterns.parse(pattern), value or "", every=every)
        self.budget.spend(sum(map(len, parts)) + len(replacement) * (len(parts) - 1))
        return replacement.join(parts)

    def _name(self) -> str:
        """A name, a number, or one of the shell's signs."""
        char = self._peek()
        if char.isdecimal():
            match = _DIGITS.match(self.source, self.at)
        elif char in _SPECIAL:
            self.at += 1 if char else 0
            return char
        else:
            match = _NAME.match(self.source, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def _get(self, name: str) -> str | None:
        value = self.variables.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value

    def _value(self, name: str, written: str) -> str:
        value = self._get(name)
        if value is None:
            return written if self.keep_unset else ""
        return value

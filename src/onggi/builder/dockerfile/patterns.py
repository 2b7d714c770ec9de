r"""Patterns of `${name#pattern}` and `${name/pattern/text}`: `*` and `?`, neither of which crosses a
line's end.

A pattern is literal segments with stars between them. Matching takes time linear in the value whatever the
pattern: a Dockerfile may come from anyone, and backtracking over several stars does not end.
"""

from __future__ import annotations

import re

import msgspec

CROSSING_MAX = 1 << 16


class Failed(ValueError):
    """The word cannot be expanded; the text says why. Its reader adds the line."""


class Pattern(msgspec.Struct, frozen=True):
    """Segments between stars; in a segment None stands for `?`."""

    segments: tuple[tuple[str | None, ...], ...]


def parse(text: str) -> Pattern:
    r"""`\*`, `\?` and `\\` are the characters themselves; `\}` and `\/` lose their backslash, which only the
    syntax around a pattern needs. Raises Failed.
    """
    segments: list[list[str | None]] = [[]]
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            if segments[-1] or len(segments) == 1:
                segments.append([])
        elif char == "?":
            segments[-1].append(None)
        elif char == "\\":
            following = text[at : at + 1]
            if following not in ("}", "/", "*", "?", "\\") or not following:
                raise Failed(f"invalid pattern ({text}) in substitution: invalid escape '\\{following}'")
            segments[-1].append(following)
            at += 1
        else:
            segments[-1].append(char)
    return Pattern(tuple(map(tuple, segments)))


def without_prefix(pattern: Pattern, value: str, *, longest: bool) -> str:
    """The value without a match at its beginning."""
    end = _Matcher(pattern).at(value, 0, longest=longest)
    return value if end is None else value[end:]


def without_suffix(pattern: Pattern, value: str, *, longest: bool) -> str:
    """The value without a match at its end: a prefix of both turned round."""
    turned = Pattern(tuple(tuple(reversed(segment)) for segment in reversed(pattern.segments)))
    return without_prefix(turned, value[::-1], longest=longest)[::-1]


def cut(pattern: Pattern, value: str, *, every: bool) -> list[str]:
    """The value's pieces between matches (longest ones): joining them with a text replaces the matches."""
    matcher = _Matcher(pattern)
    if matcher.crosses and len(value) > CROSSING_MAX:
        raise Failed(f"a pattern with a line's end and a star takes at most {CROSSING_MAX} characters")
    pieces: list[str] = []
    kept = at = 0
    last_end = -1
    while at <= len(value):
        found = matcher.search(value, at)
        if found is None:
            break
        start, end = found
        if end == start and start == last_end:  # an empty match right behind another one does not count
            at = start + 1
            continue
        pieces.append(value[kept:start])
        kept = last_end = end
        at = end if end > start else end + 1
        if not every:
            break
    return [*pieces, value[kept:]]


class _Matcher:
    """One pattern, its segments compiled. Segments have fixed lengths, so each is found by its earliest
    or last place; a star reaches to the end of the line.
    """

    def __init__(self, pattern: Pattern) -> None:
        self.first, *self.rest = [_compiled(segment) for segment in pattern.segments]
        self.lengths = [len(segment) for segment in pattern.segments]
        last = pattern.segments[-1]
        self.last_turned = _compiled(tuple(reversed(last)))
        self.crosses = len(self.lengths) > 1 and any("\n" in segment for segment in pattern.segments)

    def at(self, value: str, start: int, *, longest: bool) -> int | None:
        """Where a match that begins at `start` ends."""
        match = self.first.match(value, start)
        if match is None:
            return None
        return self._rest(value, match.end(), longest=longest)

    def _rest(self, value: str, at: int, *, longest: bool) -> int | None:
        for number, segment in enumerate(self.rest):
            line_end = _line_end(value, at)
            length = self.lengths[number + 1]
            reach = line_end + length if self.crosses else line_end
            match = segment.search(value, at, min(len(value), reach))
            if match is None or match.start() > line_end:
                return None
            if longest and number == len(self.rest) - 1:
                return self._last(value, match, line_end)
            at = match.end()
        return at

    def _last(self, value: str, earliest: re.Match[str], line_end: int) -> int:
        """The end of the last place in this line where the last segment fits, not before `earliest`."""
        length = self.lengths[-1]
        stop = min(len(value), line_end + length) if self.crosses else line_end
        part = value[earliest.start() : stop][::-1]
        match = self.last_turned.search(part)
        return earliest.end() if match is None else stop - match.start()

    def search(self, value: str, at: int) -> tuple[int, int] | None:
        """The first match from `at` on, as long as it can be. Where the rest of a pattern is not in a
        line, it is not there for a later start in that line either.
        """
        while (match := self.first.search(value, at)) is not None:
            end = self._rest(value, match.end(), longest=True)
            if end is not None:
                return match.start(), end
            at = (
                match.start() + 1
                if self.crosses
                else max(match.start() + 1, _line_end(value, match.end()) + 1)
            )
            if at > len(value):
                return None
        return None


def _line_end(value: str, at: int) -> int:
    end = value.find("\n", at)
    return len(value) if end < 0 else end


def _compiled(segment: tuple[str | None, ...]) -> re.Pattern[str]:
    return re.compile("".join("[^\n]" if part is None else re.escape(part) for part in segment))

r"""`.dockerignore`: which files a build context does not have.

    pattern = text with  *  (no slash)   ?   [a-z]   \x   **  (any directories)     !pattern  takes files back

A pattern that matches a directory matches what is below it. The last pattern that matches decides. Rules
and corner cases are those of moby/patternmatcher, which clients apply when they send a context; a
Dockerfile's own `NAME.dockerignore` replaces the context's `.dockerignore`. Matching is bounded whatever
the patterns are.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from onggi.errors import InvalidParameter

PATTERNS_MAX = 10_000
LENGTH_MAX = 4096
BACKTRACKING_MAX = (
    2  # wildcards that a regular expression may try in every place; more are matched step by step
)
_BOM = b"\xef\xbb\xbf"

_ANY, _STAR, _DEEP, _REST = (
    "?",
    "*",
    "**/",
    "**",
)  # tokens; a literal or a class is ("text",) or a compiled class


def read(data: bytes) -> tuple[str, ...]:
    """The patterns of a file, cleaned. Raises InvalidParameter when there are too many."""
    found: list[str] = []
    for line in data.removeprefix(_BOM).decode("utf-8", "surrogateescape").split("\n"):
        if line.startswith("#"):
            continue
        pattern = line.strip()
        if not pattern:
            continue
        taken_back = pattern.startswith("!")
        pattern = pattern[1:].strip() if taken_back else pattern
        if pattern:
            pattern = clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        found.append("!" + pattern if taken_back else pattern)
        if len(found) > PATTERNS_MAX:
            raise InvalidParameter(f".dockerignore: more than {PATTERNS_MAX} patterns")
    return tuple(found)


def clean(path: str) -> str:
    """Go's filepath.Clean."""
    cleaned = posixpath.normpath(path)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("//") else cleaned


class Pattern:
    """One pattern, compiled: `matches` takes a path without a slash at its ends."""

    __slots__ = ("_match", "taken_back", "text")

    def __init__(self, text: str, taken_back: bool) -> None:
        self.text = text
        self.taken_back = taken_back
        self._match = _compiled(text)

    def matches(self, path: str) -> bool:
        return self._match(path)


class Matcher:
    """All patterns of a context. Raises InvalidParameter for one that is malformed."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = list(_patterns(patterns))
        self.takes_back = any(one.taken_back for one in self.patterns)

    def excludes(self, path: str) -> bool:
        """Whether a path is left out; its parent directories are looked at, too."""
        parts = path.split("/")
        parents = ["/".join(parts[:count]) for count in range(1, len(parts))]
        excluded = False
        for one in self.patterns:
            if one.taken_back == excluded and (
                one.matches(path) or any(one.matches(parent) for parent in parents)
            ):
                excluded = not one.taken_back
        return excluded

    def below(self, path: str, parent: Matched) -> Matched:
        """The same for a walk from the top: what the parent's answer was makes looking up again needless.
        Begin with `Matched()` for paths at the top.
        """
        excluded = False
        hits: list[bool] = []
        for at, one in enumerate(self.patterns):
            hit = parent.hits[at] if parent.hits else False
            hit = hit or (one.taken_back == excluded and one.matches(path))
            hits.append(hit)
            if hit:
                excluded = not one.taken_back
        return Matched(excluded, tuple(hits))

    def may_keep_below(self, path: str) -> bool:
        """Whether an excluded directory may hold something that is taken back, and so has to be walked."""
        return any(
            one.taken_back and (_prefix(one.text, path) or set(one.text) & set("*?[\\"))
            for one in self.patterns
        )


class Matched:
    """What one directory's or file's path matched."""

    __slots__ = ("excluded", "hits")

    def __init__(self, excluded: bool = False, hits: tuple[bool, ...] = ()) -> None:
        self.excluded = excluded
        self.hits = hits


def _prefix(pattern: str, path: str) -> bool:
    return (pattern + "/").startswith(path + "/")


def _patterns(texts: Iterable[str]) -> Iterator[Pattern]:
    for text in texts:
        text = text.strip()
        if not text:
            continue
        text = clean(text)
        taken_back = text.startswith("!")
        if text == "!":
            raise InvalidParameter('illegal exclusion pattern: "!"')
        yield Pattern(text[1:] if taken_back else text, taken_back)


# -- one pattern

Token = str | tuple[str] | re.Pattern[str]


def _tokens(pattern: str) -> list[Token]:
    """Raises InvalidParameter for a class that does not end, and the like."""
    if len(pattern) > LENGTH_MAX:
        raise InvalidParameter(f"syntax error in pattern: longer than {LENGTH_MAX}")
    found: list[Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if pattern.startswith("**", at - 1):
            at += 1
            at += pattern.startswith("/", at)
            found.append(_REST if at >= len(pattern) else _DEEP)
        elif char in "*?":
            found.append(_STAR if char == "*" else _ANY)
        elif char == "[":
            end = _class_end(pattern, at)
            found.append(_class(pattern, pattern[at:end]))
            at = end + 1
        else:
            if char == "\\":
                if at >= len(pattern):
                    raise _bad(pattern)
                char = pattern[at]
                at += 1
            found.append((char,))
    return found


def _bad(pattern: str) -> InvalidParameter:
    return InvalidParameter(f"syntax error in pattern: {pattern}")


def _class_end(pattern: str, at: int) -> int:
    at += pattern.startswith("^", at)
    first = at
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        at += 2 if pattern[at] == "\\" else 1
    if at >= len(pattern) or at == first:
        raise _bad(pattern)
    return at


def _class(pattern: str, inner: str) -> re.Pattern[str]:
    negated = inner.startswith("^")
    out = ["[^" if negated else "["]
    at = 1 if negated else 0
    while at < len(inner):
        low, at = _member(pattern, inner, at)
        if inner.startswith("-", at):
            high, at = _member(pattern, inner, at + 1)
            if high < low:
                raise _bad(pattern)
            out.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            out.append(re.escape(low))
    return re.compile("".join(out) + "]", re.DOTALL)


def _member(pattern: str, inner: str, at: int) -> tuple[str, int]:
    if at >= len(inner) or inner[at] in "-]":
        raise _bad(pattern)
    if inner[at] == "\\":
        at += 1
        if at >= len(inner):
            raise _bad(pattern)
    return inner[at], at + 1


class _Steps:
    """Matches by keeping the set of tokens that may come next: as many steps as path times pattern, never
    more.
    """

    __slots__ = ("_tokens",)

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens

    def __call__(self, path: str) -> bool:
        states = self._closed({0})
        inside: set[int] = set()  # `**/` that have begun: they end behind a slash
        for char in path:
            following: set[int] = set()
            for state in states:
                if state < len(self._tokens):
                    following |= self._step(state, char, inside)
            if char == "/":
                following |= {state + 1 for state in inside}
            if not following and not inside:
                return False
            states = self._closed(following)
        return len(self._tokens) in states

    def _closed(self, states: set[int]) -> set[int]:
        """With what may be skipped: stars and `**` match nothing as well."""
        todo, closed = list(states), set(states)
        while todo:
            state = todo.pop()
            skips = state < len(self._tokens) and self._tokens[state] in (_STAR, _DEEP, _REST)
            if skips and state + 1 not in closed:
                closed.add(state + 1)
                todo.append(state + 1)
        return closed

    def _step(self, state: int, char: str, inside: set[int]) -> set[int]:
        token = self._tokens[state]
        if isinstance(token, tuple):
            return {state + 1} if token[0] == char else set()
        if isinstance(token, re.Pattern):
            return {state + 1} if token.match(char) else set()
        if token == _ANY:
            return {state + 1} if char != "/" else set()
        if token == _STAR:
            return {state} if char != "/" else set()
        if token == _DEEP:
            inside.add(state)
            return {state + 1} if char == "/" else set()
        return {state}


class _Expression:
    """Matches with a regular expression that tries few places."""

    __slots__ = ("_match",)

    def __init__(self, tokens: list[Token]) -> None:
        forms = {_ANY: "[^/]", _STAR: "[^/]*", _DEEP: "(?:.*/)?", _REST: ".*"}
        text = "".join(
            re.escape(token[0])
            if isinstance(token, tuple)
            else token.pattern
            if isinstance(token, re.Pattern)
            else forms[token]
            for token in tokens
        )
        self._match = re.compile(text, re.DOTALL).fullmatch

    def __call__(self, path: str) -> bool:
        return self._match(path) is not None


class _Exact:
    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, path: str) -> bool:
        return path == self._text


def _compiled(pattern: str) -> _Exact | _Expression | _Steps:
    tokens = _tokens(pattern)
    if all(isinstance(token, tuple) for token in tokens):
        return _Exact("".join(token[0] for token in tokens if isinstance(token, tuple)))
    first, *rest = tokens
    suffix = first == _DEEP and all(isinstance(token, tuple) for token in rest)
    if suffix and not pattern.startswith("**/") and "\\" not in pattern:
        return _Expression([_REST, *rest])  # `**x` is a plain suffix, whatever stands before it
    wild = sum(token in (_STAR, _DEEP) for token in tokens if isinstance(token, str))
    return _Expression(tokens) if wild <= BACKTRACKING_MAX else _Steps(tokens)

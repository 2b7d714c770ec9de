"""Text to logical lines: continuations joined, comments set aside, here-documents left to the parser that
asks.

    Lines(text, escape)
      .next()        -> Logical(text, start, end, comments, gap) | None
      .here(name)    -> the lines up to one that is `name`

A line that ends in the escape character goes on in the next; comment lines in between vanish, and so do empty
ones (`gap`, which the check NoEmptyContinuation reports). Rules and the longest line are BuildKit's.
"""

from __future__ import annotations

import re

import msgspec

from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.instructions import Location

LINE_MAX = 65535  # bytes of one physical line
_SPACE = " \t\v\f\r\n\x85\xa0"


class Logical(msgspec.Struct, frozen=True):
    """One instruction's text without its line ends; `comments` are those right above it."""

    text: str
    start: int
    end: int
    comments: tuple[str, ...]
    gap: bool


class Lines:
    """A reader that goes over physical lines once."""

    def __init__(self, text: str, escape: str, skip: int = 0, source: int = 0) -> None:
        self._source = source
        self._lines = text.split("\n")
        if self._lines and not self._lines[-1]:
            self._lines.pop()
        self._at = skip
        token = re.escape(escape)
        self._continued = re.compile(rf"(?:(?<=[^{token}])|^){token}[ \t]*\Z")

    @property
    def number(self) -> int:
        """Lines that have been read."""
        return self._at

    def next(self) -> Logical | None:
        """The next instruction. Raises DockerfileError for a line that is too long."""
        comments: list[str] = []
        while self._at < len(self._lines):
            if not self._lines[self._at]:
                self._at += 1
                comments.clear()
                continue
            line = self._take().lstrip(_SPACE)
            if line.startswith("#"):
                comment = line[1:].strip()
                if comment:
                    comments.append(comment)
                else:
                    comments.clear()
                continue
            first, goes_on = self._cut(line)
            if not first and not goes_on:
                comments.clear()
                continue
            start, parts, gap = self._at, [first], False
            while goes_on and self._at < len(self._lines):
                line = self._take()
                bare = line.strip(_SPACE)
                if bare.startswith("#"):
                    continue
                if not bare:
                    gap = True
                    continue
                part, goes_on = self._cut(line)
                parts.append(part)
            return Logical("".join(parts), start, self._at, tuple(comments), gap)
        return None

    def here(self, name: str, *, chomp: bool) -> str | None:
        """The body of a here-document up to a line that is its name; None when there is no such line."""
        body: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            bare = line.rstrip("\r")
            if (bare.lstrip("\t") if chomp else bare) == name:
                return "".join(part + "\n" for part in body)
            body.append(line)
        return None

    def _take(self) -> str:
        line = self._lines[self._at]
        self._at += 1
        if len(line) > LINE_MAX or (not line.isascii() and len(line.encode("utf-8", "replace")) > LINE_MAX):
            raise DockerfileError(
                f"dockerfile line greater than max allowed size of {LINE_MAX}",
                Location(self._at, self._at, self._source),
            )
        return line.rstrip("\r")

    def _cut(self, line: str) -> tuple[str, bool]:
        match = self._continued.search(line)
        return (line[: match.start()], True) if match else (line, False)

"""What is wrong with a Dockerfile, and where: the line is named in the message and shown beside it."""

from __future__ import annotations

from collections.abc import Sequence

from onggi.builder.instructions import Location, Source
from onggi.errors import InvalidParameter

CONTEXT_LINES = 2  # shown before and after the lines that are meant
SHOWN_MAX = 40  # lines at most, of which the first are kept
WIDTH_MAX = 400


class DockerfileError(InvalidParameter):
    """`message` is one line; `location` says which lines are meant, `sources` holds the text to show them
    from.

    `parse` errors are those of the syntax: their message begins with the line (BuildKit's words, which
    clients match on).
    """

    def __init__(
        self, message: str, location: Location, sources: Sequence[Source] = (), *, parse: bool = False
    ) -> None:
        self.location = location
        self.sources = tuple(sources)
        self.plain = message
        super().__init__(f"dockerfile parse error on line {location.start}: {message}" if parse else message)

    def within(self, sources: Sequence[Source]) -> DockerfileError:
        """The same error with the files that its location points into."""
        self.sources = tuple(sources)
        return self

    @property
    def excerpt(self) -> str:
        """The lines that are meant, marked, between their neighbours; empty where the source is not known."""
        if self.location.source >= len(self.sources):
            return ""
        return excerpt(self.sources[self.location.source], self.location)


def excerpt(source: Source, location: Location) -> str:
    """Lines of a file as BuildKit's clients print them:

    Dockerfile:3
    --------------------
       2 |
       3 | >>> RUNN make
    --------------------
    """
    lines = source.text.decode("utf-8", "replace").split("\n")
    first, last = location.start, min(max(location.start, location.end), len(lines))
    last = min(last, first + SHOWN_MAX)
    shown = []
    for number in range(max(1, first - CONTEXT_LINES), min(len(lines), last + CONTEXT_LINES) + 1):
        mark = ">>>" if first <= number <= last else "   "
        shown.append(f"{number:4} | {mark} {lines[number - 1].rstrip()[:WIDTH_MAX]}".rstrip())
    return "\n".join([f"{source.name}:{first}", "-" * 20, *shown, "-" * 20])

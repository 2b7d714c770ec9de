"""Tables in columns, as Go's tabwriter sets them for Docker: ten wide at least, three blanks between.

A cell belongs to a column when a tab ends it; the last cell of a line is not padded. A column is as wide as
its widest cell among the lines that follow each other and have it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def align(
    lines: Sequence[Sequence[str]],
    least: int = 10,
    padding: int = 3,
    paint: Callable[[int, int, str], str] | None = None,
) -> list[str]:
    """One string for each line of cells. `paint` is given row, column and the padded cell, to colour it."""
    widths: list[list[int]] = [[0] * (len(line) - 1) for line in lines]
    depth = max((len(line) for line in widths), default=0)
    for column in range(depth):
        start = 0
        while start < len(lines):
            if column >= len(widths[start]):
                start += 1
                continue
            end, width = start, 0
            while end < len(lines) and column < len(widths[end]):
                width = max(width, len(lines[end][column]))
                end += 1
            for row in range(start, end):
                widths[row][column] = max(least, width + padding)
            start = end
    padded = [
        [*(cell.ljust(width) for cell, width in zip(line, row, strict=False)), *line[-1:]]
        for line, row in zip(lines, widths, strict=True)
    ]
    if paint is not None:
        padded = [[paint(y, x, cell) for x, cell in enumerate(line)] for y, line in enumerate(padded)]
    return ["".join(line) for line in padded]


def align_text(text: str, least: int = 10, padding: int = 3) -> str:
    """The same for text whose cells are separated by tabs."""
    return "\n".join(align([line.split("\t") for line in text.split("\n")], least, padding))

"""`images --tree`: each image with all its names and, below it, its platforms where the engine tells them."""

from __future__ import annotations

import os
import sys

from onggi.cli import color, human, table
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from onggi.cli.flags import Flags

_TITLES = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]
_IN_USE = "U"


def refuse(flags: Flags) -> None:
    """Flags that have no meaning here. Raises CommandError."""
    words = {"quiet": "quiet", "no-trunc": "no-trunc", "digests": "show-digest", "format": "format"}
    for name in words:
        if flags[name]:
            raise CommandError(f"--{words[name]} is not yet supported with --tree")


def show(found: list[dict[str, Any]], used: set[str]) -> None:
    """Print the tree; `used` are the ids of images that containers use."""
    colored = color.wanted(1)
    lines = [_TITLES]
    codes = [[color.BOLD] * len(_TITLES)]
    for image in found:
        for cells, row_codes in _image(image, used):
            lines.append(cells)
            codes.append(row_codes)
    if colored:
        legend = color.paint(color.CHIP, f" {_IN_USE}") + " In Use"
        sys.stdout.write(" " * max(0, _columns() - len(f" {_IN_USE} In Use")) + legend + "\n\n")

    def paint(row: int, column: int, cell: str) -> str:
        return color.paint(codes[row][column], cell)

    aligned = table.align(lines, paint=paint if colored else None)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in aligned))


def _image(image: dict[str, Any], used: set[str]) -> Iterator[tuple[list[str], list[str]]]:
    names = [word for word in image.get("RepoTags") or [] if word != "<none>:<none>"] or ["<untagged>"]
    for name in names[:-1]:
        yield [name, *[""] * 4], [color.BOLD + ";" + color.BLUE] * 5
    mark = _IN_USE if image["Id"] in used else ""
    manifests = [item for item in image.get("Manifests") or [] if item.get("Kind") == "image"]
    content = image.get("Descriptor", {}).get("size") if not manifests else None
    total = sum(item["Size"]["Content"] for item in manifests) if manifests else content
    yield (
        [names[-1], human.short_id(image["Id"]), human.size(image.get("Size", 0), 3), _size(total), mark],
        [color.BOLD + ";" + color.BLUE, "", "", "", color.CHIP],
    )
    for position, item in enumerate(manifests):
        branch = "└─" if position == len(manifests) - 1 else "├─"
        data = item.get("ImageData") or {}
        platform = data.get("Platform") or {}
        words = [platform.get(key) for key in ("os", "architecture", "variant")]
        mark = _IN_USE if data.get("Containers") else ""
        yield (
            [
                f"{branch} {'/'.join(word for word in words if word)}",
                human.short_id(item["ID"]),
                human.size(item["Size"]["Total"], 3),
                human.size(item["Size"]["Content"], 3),
                mark,
            ],
            ["" if item.get("Available") else color.DIM] * 4 + [color.CHIP],
        )


def _size(number: int | None) -> str:
    return "-" if number is None else human.size(number, 3)


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 80

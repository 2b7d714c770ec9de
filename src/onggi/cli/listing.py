"""Lists of objects in the forms that --format asks for: a table, a template, JSON, names only.

    ""  table  table TEMPLATE  json  raw  TEMPLATE

A command gives rows (objects whose methods are the fields), the header of each field, and the columns of
its table. The plain table does not load the template engine.
"""

from __future__ import annotations

import sys

from onggi.cli import color, table
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Row:
    """One object of a list. Subclasses have one method for each field; `fields` names them, in their
    JSON order.
    """

    template_type = "*formatter.Context"
    fields: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()  # those that take an argument, absent from JSON

    def lookup(self, name: str) -> Any:
        """The field's method. Raises KeyError where there is none."""
        if name not in self.fields and name not in self.methods:
            raise KeyError(name)
        return getattr(self, name)

    def tint(self, name: str) -> str:
        """The colour of a field in the table on a terminal (color.py); none if it says nothing more."""
        return ""

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name)() for name in sorted(self.fields)}


class Header:
    """Stands in for a row in a table's first line: each field is its title, `.Label "x"` is x."""

    template_type = "map[string]string"

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def lookup(self, name: str) -> Callable[..., Any]:
        title = self._headers.get(name)
        return lambda *arguments: arguments[0] if arguments else title


def show(
    form: str,
    rows: Sequence[Row],
    headers: dict[str, str],
    columns: Sequence[str],
    raw: str = "",
) -> None:
    """Print the rows. Raises CommandError where the template is wrong."""
    write = sys.stdout.write
    if form in ("", "table"):
        lines = [[headers[name] for name in columns]]
        lines += [[getattr(row, name)() for name in columns] for row in rows]
        paint = _painter(rows, columns) if color.wanted(1) else None
        write("\n".join(table.align(lines, paint=paint)) + "\n")
        return
    if form == "json":
        form = "{{json .}}"
    elif form == "raw" and raw:
        form = raw
    render(form, rows, headers)


def _painter(rows: Sequence[Row], columns: Sequence[str]) -> Callable[[int, int, str], str]:
    def paint(row: int, column: int, cell: str) -> str:
        code = rows[row - 1].tint(columns[column]) if row else color.BOLD
        return color.paint(code, cell)

    return paint


def render(form: str, rows: Sequence[Any], headers: dict[str, str]) -> None:
    """Print the rows through a template; `table ` before it asks for a first line and columns."""
    from onggi.cli.template import Template, TemplateError
    from onggi.cli.template.functions import HEADER_FUNCTIONS

    tabular = form.startswith("table")
    source = form[5:].strip(" ") if tabular else form
    source = source.replace("\\t", "\t").replace("\\n", "\n")
    try:
        template = Template(source)
    except TemplateError as error:
        raise CommandError(f"failed to parse template: {error}") from None
    out = []
    try:
        for row in rows:
            out.append(template.execute(row))
    except TemplateError as error:
        raise CommandError(f"failed to execute template: {error}") from None
    if tabular:
        title = Template(source, functions=HEADER_FUNCTIONS).execute(Header(headers))
        sys.stdout.write(table.align_text("\n".join([title, *out])) + "\n")
        return
    sys.stdout.write("".join(text + "\n" for text in out))


def object_text(value: Any, form: str) -> str:
    """One object (version, info) through a template. Raises CommandError."""
    from onggi.cli.template import Template, TemplateError
    from onggi.cli.template.functions import to_json

    if form == "json":
        return to_json(value)
    try:
        return Template(form).execute(value)
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None


def labels(found: dict[str, str] | None) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted((found or {}).items()))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Numbers inside names by their value."""
    parts: list[tuple[int, int, str]] = []
    word = ""
    for letter in name + "\0":
        if word and (letter == "\0" or letter.isdigit() != word[-1].isdigit()):
            parts.append((0, int(word), "") if word.isdigit() else (1, 0, word))
            word = ""
        word += letter
    return parts

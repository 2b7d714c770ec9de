"""Tokens of a template: text outside `{{ }}`, words inside.

A token is (kind, value, offset). Kinds: text, field (.Name), variable ($x), word, string, number, char, and
the punctuation itself: `{{` opens and `}}` closes an action, `|`, `(`, `)`, `,`, `:=`, `=`, `.`, and
`space` which separates arguments. `{{-` and `-}}` take the white space beside them; comments leave nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Token = tuple[str, object, int]

_SPACE = " \t\r\n"
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
}


class SyntaxFault(Exception):
    """The template cannot be read; `offset` says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def tokens(source: str) -> list[Token]:
    """Raises SyntaxFault."""
    found: list[Token] = []
    at = 0
    trim = False
    while True:
        start = source.find("{{", at)
        text = source[at:] if start < 0 else source[at:start]
        if trim:
            text = text.lstrip(_SPACE)
        if start >= 0 and source.startswith("{{-", start) and source[start + 3 : start + 4] in tuple(_SPACE):
            text = text.rstrip(_SPACE)
        if text:
            found.append(("text", text, at))
        if start < 0:
            return found
        inside = start + 2
        if source.startswith("-", inside) and source[inside + 1 : inside + 2] in tuple(_SPACE):
            inside += 2
        at, trim = _action(source, inside, start, found)


def _action(source: str, at: int, start: int, found: list[Token]) -> tuple[int, bool]:
    """Read one action; the offset after it, and whether the text after it loses its leading space."""
    if source.startswith("/*", at):
        end = source.find("*/", at)
        if end < 0:
            raise SyntaxFault("unclosed comment", start)
        rest = source[end + 2 :]
        for close in ("}}", " -}}"):
            if rest.startswith(close):
                return end + 2 + len(close), close != "}}"
        raise SyntaxFault("comment ends before closing delimiter", start)
    found.append(("{{", "", start))
    while True:
        if at >= len(source):
            raise SyntaxFault("unclosed action", start)
        if source.startswith("}}", at):
            found.append(("}}", "", at))
            return at + 2, False
        if source[at] in _SPACE:
            end = at
            while end < len(source) and source[end] in _SPACE:
                end += 1
            if source.startswith("-}}", end):
                found.append(("}}", "", end))
                return end + 3, True
            found.append(("space", "", at))
            at = end
        else:
            at = _word(source, at, found)


def _word(source: str, at: int, found: list[Token]) -> int:
    letter = source[at]
    if letter == '"':
        return _string(source, at, found)
    if letter == "`":
        end = source.find("`", at + 1)
        if end < 0:
            raise SyntaxFault("unterminated raw quoted string", at)
        found.append(("string", source[at + 1 : end], at))
        return end + 1
    if letter == "'":
        end = source.find("'", at + (3 if source[at + 1 : at + 2] == "\\" else 2))
        if end < 0:
            raise SyntaxFault("unterminated character constant", at)
        body = source[at + 1 : end]
        found.append(("number", ord(_ESCAPES.get(body[1:], body[-1]) if body[0] == "\\" else body[0]), at))
        return end + 1
    if source.startswith(":=", at):
        found.append((":=", "", at))
        return at + 2
    if letter in "|(),=":
        found.append((letter, "", at))
        return at + 1
    if letter == "." or letter == "$":
        end = _name_end(source, at + 1)
        if letter == "." and source[at + 1 : at + 2].isdigit():
            return _number(source, at, found)
        if letter == "." and end == at + 1:
            found.append((".", "", at))
        else:
            found.append(("field" if letter == "." else "variable", source[at + 1 : end], at))
        return end
    if letter.isdigit() or (letter in "+-" and source[at + 1 : at + 2].isdigit()):
        return _number(source, at, found)
    end = _name_end(source, at)
    if end == at:
        raise SyntaxFault(f"unexpected bad character U+{ord(letter):04X} {letter!r} in command", at)
    found.append(("word", source[at:end], at))
    return end


def _name_end(source: str, at: int) -> int:
    while at < len(source) and (source[at].isalnum() or source[at] == "_"):
        at += 1
    return at


def _string(source: str, at: int, found: list[Token]) -> int:
    out = []
    end = at + 1
    while True:
        if end >= len(source) or source[end] == "\n":
            raise SyntaxFault("unterminated quoted string", at)
        letter = source[end]
        if letter == '"':
            break
        if letter == "\\":
            end += 1
            escape = source[end : end + 1]
            width = {"x": 2, "u": 4, "U": 8}.get(escape, 0)
            if width:
                out.append(chr(int(source[end + 1 : end + 1 + width], 16)))
                end += width
            elif escape in _ESCAPES:
                out.append(_ESCAPES[escape])
            else:
                raise SyntaxFault("invalid syntax", at)
        else:
            out.append(letter)
        end += 1
    found.append(("string", "".join(out), at))
    return end + 1


def _number(source: str, at: int, found: list[Token]) -> int:
    end = at + 1
    while end < len(source) and (
        source[end].isalnum() or source[end] in "._" or source[end - 1 : end + 1] in ("e-", "e+")
    ):
        end += 1
    text = source[at:end]
    try:
        value: int | float = int(text, 0) if "." not in text else float(text)
    except ValueError:
        try:
            value = float(text)
        except ValueError:
            raise SyntaxFault(f'bad number syntax: "{text}"', at) from None
    found.append(("number", value, at))
    return end

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
_HEX = frozenset("0123456789abcdefABCDEF")
_OCTAL = frozenset("01234567")
_WIDTHS = {"x": 2, "u": 4, "U": 8, **dict.fromkeys(_OCTAL, 3)}  # digits of the escapes that are numbers


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
        return _character(source, at, found)
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
    out = bytearray()
    end = at + 1
    while True:
        if end >= len(source) or source[end] == "\n":
            raise SyntaxFault("unterminated quoted string", at)
        letter = source[end]
        if letter == '"':
            break
        if letter == "\\":
            part, end = _escaped(source, end + 1, '"', SyntaxFault("invalid syntax", at))
            out += part
        else:
            out += letter.encode("utf-8", "replace")
            end += 1
    found.append(("string", out.decode("utf-8", "replace"), at))
    return end + 1


def _escaped(source: str, at: int, quote: str, fault: SyntaxFault) -> tuple[bytes, int]:
    """What stands behind a backslash, as Go's strconv.Unquote reads it, and the offset after it."""
    letter = source[at : at + 1]
    if letter in _WIDTHS:
        at += letter in "xuU"
        width, allowed = _WIDTHS[letter], _OCTAL if letter in _OCTAL else _HEX
        digits = source[at : at + width]
        if len(digits) < width or not allowed.issuperset(digits):
            raise fault
        value = int(digits, 8 if allowed is _OCTAL else 16)
        if letter in "uU":
            if value > 0x10FFFF or 0xD800 <= value < 0xE000:
                raise fault
            return chr(value).encode(), at + width
        if value > 255:
            raise fault
        return bytes((value,)), at + width
    if letter not in _ESCAPES or (letter in "\"'" and letter != quote):
        raise fault
    return _ESCAPES[letter].encode(), at + 1


def _character(source: str, at: int, found: list[Token]) -> int:
    """A character constant: a number."""
    end = source.find("'", at + (3 if source[at + 1 : at + 2] == "\\" else 2))
    if end < 0 or "\n" in source[at:end]:
        raise SyntaxFault("unterminated character constant", at)
    fault = SyntaxFault(f"malformed character constant: {source[at : end + 1]}", at)
    if source[at + 1] != "\\":
        if end != at + 2:
            raise fault
        found.append(("number", ord(source[at + 1]), at))
        return end + 1
    part, behind = _escaped(source, at + 2, "'", fault)
    if behind != end:
        raise fault
    found.append(("number", part[0] if len(part) == 1 else ord(part.decode()), at))
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

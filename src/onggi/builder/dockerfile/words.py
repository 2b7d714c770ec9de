"""How the text behind an instruction's name is cut: flags, words that keep their quotes, JSON, plain fields.

Source: docs.docker.com "Dockerfile reference"; where it is silent (quotes in flags, escapes at the end), what
BuildKit does.
"""

from __future__ import annotations

import re

import msgspec

from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.instructions import Location

SPACE = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000").union(
    map(chr, range(0x2000, 0x200B))
)
_FIELD = re.compile(r"[\t\v\f\r ]+")


_QUOTED = {
    "\\": "\\\\",
    '"': '\\"',
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quoted(text: str) -> str:
    """A text in double quotes as Go's %q writes it: error messages and history are compared with it."""
    return '"' + "".join(_QUOTED.get(char) or _printable(char) for char in text) + '"'


def _printable(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if char == " " or (char.isprintable() and not char.isspace()):
        return char
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fields(text: str) -> list[str]:
    """Cut at white space; empty for an empty text."""
    return _FIELD.split(text) if text else []


def command(line: str) -> tuple[str, str]:
    """An instruction's name and the rest."""
    parts = _FIELD.split(line.strip(), maxsplit=1)
    return parts[0], parts[1] if len(parts) == 2 else ""


def flags(text: str, escape: str) -> tuple[list[str], str]:
    """The leading words that begin with `--`, their quotes gone, and the rest. A lone `--` ends them."""
    found: list[str] = []
    at, size = 0, len(text)
    while at < size:
        if text[at] in SPACE:
            at += 1
            continue
        if not text.startswith("--", at):
            return found, text[at:].strip()
        word, at = _unquoted(text, at, escape)
        if word == "--":
            return found, text[at:].strip()
        found.append(word)
    return found, ""


def _unquoted(text: str, at: int, escape: str) -> tuple[str, int]:
    """One word from `at`, quotes and escapes taken away, and where it ends."""
    out: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        at += 1
        if quote and char == quote:
            quote = ""
        elif char == escape:
            if at == len(text):
                break
            out.append(text[at])
            at += 1
        elif quote:
            out.append(char)
        elif char in SPACE:
            at -= 1
            break
        elif char in "'\"":
            quote = char
        else:
            out.append(char)
    return "".join(out), at


def words(text: str, escape: str) -> list[str]:
    """Words as a shell sees them, with their quotes and escapes still in them: `A="b c" D=e` is two."""
    token = re.escape(escape)
    piece = _WORD_PIECE.get(escape)
    if piece is None:
        piece = _WORD_PIECE[escape] = re.compile(
            rf"(?P<space>[{re.escape(''.join(SPACE))}]+)"
            rf"|(?P<plain>[^{re.escape(''.join(SPACE))}'\"{token}]+)"
            rf"|(?P<quoted>'[^']*(?:'|\Z)|\"(?:[^\"{token}]++|{token}.|{token}\Z)*(?:\"|\Z))"
            rf"|(?P<escaped>{token}.)"
            rf"|(?P<end>{token}\Z)",
            re.DOTALL,
        )
    found: list[str] = []
    current: list[str] = []
    for match in piece.finditer(text):
        kind = match.lastgroup
        if kind == "space":
            if current:
                found.append("".join(current))
                current = []
        elif kind != "end":
            part = match[0]
            if kind == "quoted" and part[0] == '"' and part.endswith(escape) and match.end() == len(text):
                part = _without_dangling(part, escape)
            current.append(part)
    if current:
        found.append("".join(current))
    return found


_WORD_PIECE: dict[str, re.Pattern[str]] = {}


def _without_dangling(part: str, escape: str) -> str:
    """An escape character that nothing follows is dropped; one that is itself escaped stays."""
    run = len(part) - len(part.rstrip(escape))
    return part[:-1] if run % 2 else part


def json_list(text: str, location: Location) -> list[str] | None:
    """A JSON array of strings, or None when it is no JSON array. Raises DockerfileError for other
    elements.
    """
    text = text.lstrip("".join(SPACE))
    if not text.startswith("["):
        return None
    try:
        values = msgspec.json.decode(text.encode("utf-8", "replace"), type=list[object])
    except (msgspec.DecodeError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only", location
        )
    return [str(value) for value in values]


def csv(text: str) -> list[str]:
    """The fields of one line of comma separated values (RFC 4180). Raises ValueError."""
    if not text:
        raise ValueError("EOF")
    found: list[str] = []
    at = 0
    while True:
        if text.startswith('"', at):
            value, at = _quoted_field(text, at + 1)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            value, at = text[at:end], end
            if '"' in value:
                raise ValueError('bare " in non-quoted-field')
        found.append(value)
        if at >= len(text):
            return found
        at += 1


def _quoted_field(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    while True:
        end = text.find('"', at)
        if end < 0:
            raise ValueError('extraneous or missing " in quoted-field')
        parts.append(text[at:end])
        if not text.startswith('""', end):
            break
        parts.append('"')
        at = end + 2
    if end + 1 < len(text) and text[end + 1] != ",":
        raise ValueError('extraneous or missing " in quoted-field')
    return "".join(parts), end + 1

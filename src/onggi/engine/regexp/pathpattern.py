"""Patterns of Go's path.Match as regular expressions: `*` and `?` are no slash, `[^a-z]`, `\\` before a sign.

Source: documentation of path.Match.
"""

from __future__ import annotations

from onggi.engine.regexp.syntax import Invalid


def expression(pattern: str) -> str:
    """Matches the whole of a text. Raises Invalid."""
    found, at = ["(?s)\\A"], 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            found.append("[^/]*")
        elif char == "?":
            found.append("[^/]")
        elif char == "[":
            text, at = _class(pattern, at)
            found.append(text)
        else:
            code, at = _char(pattern, at - 1)
            found.append(code)
    return "".join(found) + "\\z"


def _class(pattern: str, at: int) -> tuple[str, int]:
    """The class that begins behind a bracket, and where it ends."""
    found = ["["]
    if pattern.startswith("^", at):
        found.append("^")
        at += 1
    first = at
    while at == first or not pattern.startswith("]", at):
        low, at = _member(pattern, at)
        found.append(low)
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
            found.append(f"-{high}")
    return "".join(found) + "]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at : at + 1] in ("", "-", "]"):
        raise Invalid("syntax error in pattern")
    return _char(pattern, at)


def _char(pattern: str, at: int) -> tuple[str, int]:
    at += pattern.startswith("\\", at)
    if at >= len(pattern):
        raise Invalid("syntax error in pattern")
    return f"\\x{{{ord(pattern[at]):x}}}", at + 1

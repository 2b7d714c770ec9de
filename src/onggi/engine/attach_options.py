"""Detach keys as users write them: `ctrl-p,ctrl-q`, `a,ctrl-x`, `ctrl-\\\\`."""

from __future__ import annotations

from onggi.errors import InvalidParameter

DEFAULT = b"\x10\x11"
_SPECIAL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def detach_keys(text: str) -> bytes:
    """The bytes to wait for; Docker's ctrl-p ctrl-q where none are given. Raises InvalidParameter."""
    if not text:
        return DEFAULT
    return bytes(_key(part, text) for part in text.split(","))


def _key(part: str, text: str) -> int:
    if len(part) == 1 and part.isascii():
        return ord(part)
    letter = part.removeprefix("ctrl-")
    if part.startswith("ctrl-") and len(letter) == 1:
        if "a" <= letter.lower() <= "z":
            return ord(letter.lower()) - ord("a") + 1
        if letter in _SPECIAL:
            return _SPECIAL[letter]
    raise InvalidParameter(f"Invalid detach keys ({text}) provided")

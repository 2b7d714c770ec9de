"""Whole numbers in texts of others.

int() alone reads digits of every script, signs and underscores, and fails in a way of its own with more than
4300 digits; str.isdigit() holds for signs that int() does not read.
"""

from __future__ import annotations

DIGITS_MAX = 20


def whole(text: str, most: int) -> int | None:
    """The number that ASCII digits write; None for any other text, and beyond `most`."""
    if not (text.isascii() and text.isdigit()) or len(text) > DIGITS_MAX:
        return None
    number = int(text)
    return number if number <= most else None

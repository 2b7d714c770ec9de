"""Colours on a terminal, and none in a pipe: SGR codes of ECMA-48, the sixteen that every terminal has.

NO_COLOR with any text in it turns them off (no-color.org), and so does TERM=dumb.
"""

from __future__ import annotations

import os

BOLD, DIM, RED, GREEN, YELLOW, BLUE, CHIP = "1", "2", "31", "32", "33", "34", "30;106"


def wanted(fd: int) -> bool:
    """May what goes to this descriptor be coloured?"""
    return os.isatty(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(code: str, text: str) -> str:
    """The text in a colour, the blanks after it left alone; no code, no colour."""
    plain = text.rstrip(" ")
    return f"\x1b[{code}m{plain}\x1b[0m{text[len(plain) :]}" if code and plain else text

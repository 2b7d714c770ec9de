"""What a process wrote, as text that a terminal only shows: no control character of it gets through.

Escape sequences (ECMA-48: CSI, OSC, DCS and their kind, in seven and eight bits) are left out, other control
characters and those that turn the direction of writing (CVE-2021-42574) become U+FFFD.
"""

from __future__ import annotations

import re
import unicodedata

TAB = 8
JOINERS = "\u200c\u200d"  # they change how neighbours are drawn, and nothing else
REPLACEMENT = "\ufffd"
SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-Z\\`-~]"
)


def line(text: str) -> str:
    """One line as a terminal would leave it: what stands behind the last carriage return covers the rest."""
    text = SEQUENCE.sub("", text)
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part), "")
    text = text.expandtabs(TAB)
    return text if text.isprintable() else "".join(map(_letter, text))


def lines(text: str) -> str:
    """Several of them."""
    return "\n".join(map(line, text.split("\n")))


def _letter(letter: str) -> str:
    known = letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs"
    return letter if known else REPLACEMENT

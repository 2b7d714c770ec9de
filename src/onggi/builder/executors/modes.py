"""`--chmod`: an octal mode, or chmod(1)'s symbolic form (u=rwX,go-w), applied to each file's own mode."""

from __future__ import annotations

import re
import stat

from onggi.errors import InvalidParameter

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*|[-+=][ugo])+)\Z")
_CHANGE = re.compile(r"([-+=])([rwxXst]*|[ugo])")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


class Mode:
    """A mode to set; calling it with a file's st_mode gives the new permission bits."""

    def __init__(self, text: str) -> None:
        """Raises InvalidParameter."""
        self.octal: int | None = None
        self._clauses: list[tuple[str, list[tuple[str, str]]]] = []
        if text.isascii() and text.isdigit():
            if set(text) - set("01234567") or int(text, 8) > 0o7777:
                raise InvalidParameter(f"invalid chmod parameter: '{text}'. it should be octal string")
            self.octal = int(text, 8)
            return
        for clause in text.split(","):
            match = _CLAUSE.match(clause)
            if match is None:
                raise InvalidParameter(f"invalid chmod parameter: '{text}'")
            self._clauses.append((match[1] or "a", _CHANGE.findall(match[2])))

    def __call__(self, mode: int) -> int:
        if self.octal is not None:
            return self.octal
        bits = stat.S_IMODE(mode)
        for who, changes in self._clauses:
            for sign, letters in changes:
                bits = self._apply(bits, who, sign, letters, is_dir=stat.S_ISDIR(mode))
        return bits

    def _apply(self, bits: int, who: str, sign: str, letters: str, *, is_dir: bool) -> int:
        classes = "ugo" if "a" in who else who
        wanted = cleared = 0
        for one in classes:
            shift = _SHIFT[one]
            value = self._value(bits, letters, is_dir=is_dir) << shift
            if "s" in letters and one in "ug":
                value |= stat.S_ISUID if one == "u" else stat.S_ISGID
            wanted |= value
            cleared |= 7 << shift
        if "t" in letters:
            wanted |= stat.S_ISVTX
        if sign == "+":
            return bits | wanted
        if sign == "-":
            return bits & ~wanted
        if "u" in classes:
            cleared |= stat.S_ISUID
        if "g" in classes:
            cleared |= stat.S_ISGID
        return bits & ~cleared | wanted

    def _value(self, bits: int, letters: str, *, is_dir: bool) -> int:
        if letters in _SHIFT and letters:
            return bits >> _SHIFT[letters] & 7
        value = sum(_BITS[letter] for letter in set(letters) if letter in _BITS)
        if "X" in letters and (is_dir or bits & 0o111):
            value |= 1
        return value

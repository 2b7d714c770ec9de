"""`did you mean ...?`: the nearest of a few names, at most two edits away (BuildKit's distance); swapped
letters win a tie."""

from __future__ import annotations

from collections.abc import Iterable

MOST_EDITS = 2
LONGEST = 64  # a longer word is no misspelling of anything that we know


def nearest(word: str, names: Iterable[str], *, case: bool = True) -> str:
    """The name that is nearest, in the case of `word` unless `case` counts; "" when none is, or `word` is
    one.
    """
    if len(word) > LONGEST:
        return ""
    wanted = word if case else word.lower()
    best, least = "", (MOST_EDITS + 1, False)
    for name in names:
        other = name if case else name.lower()
        if other == wanted:
            return ""
        if abs(len(other) - len(wanted)) <= MOST_EDITS:
            badness = (distance(wanted, other), sorted(wanted) != sorted(other))
            if badness < least:
                best, least = name if case else _cased(other, word), badness
    return best


def hint(word: str, names: Iterable[str], *, case: bool = True) -> str:
    """` (did you mean X?)`, or nothing."""
    found = nearest(word, names, case=case)
    return f" (did you mean {found}?)" if found else ""


def distance(one: str, other: str) -> int:
    """Levenshtein's: insertions, deletions and substitutions."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def _cased(name: str, like: str) -> str:
    return name.upper() if like == like.upper() else name.lower()

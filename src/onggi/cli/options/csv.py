"""One line of comma-separated values, with double quotes (RFC 4180)."""

from __future__ import annotations


def fields(text: str) -> list[str]:
    """Raises ValueError for a quote in the middle of a bare field, or one that is not closed."""
    found: list[str] = []
    at = 0
    while True:
        if text[at : at + 1] == '"':
            value, at = "", at + 1
            while True:
                end = text.find('"', at)
                if end < 0:
                    raise ValueError(
                        "parse error on line 1, column "
                        + f'{len(text) + 1}: extraneous or missing " in quoted-field'
                    )
                value += text[at:end]
                at = end + 1
                if text[at : at + 1] != '"':
                    break
                value, at = value + '"', at + 1
            if at < len(text) and text[at] != ",":
                raise ValueError(
                    f'parse error on line 1, column {at + 1}: extraneous or missing " in quoted-field'
                )
        else:
            end = text.find(",", at)
            value = text[at:] if end < 0 else text[at:end]
            if '"' in value:
                raise ValueError(
                    f"parse error on line 1, column {at + value.index(chr(34)) + 1}: "
                    'bare " in non-quoted-field'
                )
            at += len(value)
        found.append(value)
        if at >= len(text):
            return found
        at += 1

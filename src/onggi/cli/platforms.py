"""Platforms as the API's JSON: `linux/arm64/v8`."""

from __future__ import annotations

from onggi import jsontext
from onggi.cli.errors import CommandError


def platform_json(text: str) -> str | None:
    """None for an empty text. Raises CommandError."""
    if not text:
        return None
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise CommandError(
            f'error parsing specified platform: "{text}": unknown operating system or architecture'
        )
    names = dict(zip(("os", "architecture", "variant"), parts, strict=False))
    return jsontext.dumps(names)

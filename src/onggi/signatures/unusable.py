"""What is said of a signature that does not do; apart from keys.py, since reading needs no cryptography."""

from __future__ import annotations

import base64
import binascii


class Unusable(Exception):
    """A key, certificate or signature that proves nothing; the text says why."""


def decoded(text: object, what: str) -> bytes:
    """Base64 that may be anything. Raises Unusable."""
    try:
        return base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise Unusable(f"{what} is not base64") from None

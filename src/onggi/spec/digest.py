"""Digests: `sha256:` and 64 lower-case hex digits, as text.

Source: OCI image-spec 1.1, descriptor.md "Digests". Only sha256 is stored here, as in Docker; others are
refused by name. A chain id names a stack of layers (config.md "Layer ChainID").
"""

from __future__ import annotations

import hashlib

from onggi.errors import InvalidParameter

PREFIX = "sha256:"
_HEX = frozenset("0123456789abcdef")


def is_hex64(text: str) -> bool:
    """Whether the text is 64 lower-case hex digits."""
    return len(text) == 64 and _HEX.issuperset(text)


def is_digest(text: str) -> bool:
    """Whether the text is a whole sha256 digest."""
    return text.startswith(PREFIX) and is_hex64(text[7:])


def check(text: str) -> str:
    """The text itself when it is a digest that we store. Raises InvalidParameter."""
    if is_digest(text):
        return text
    algorithm, colon, _ = text.partition(":")
    if colon and algorithm != "sha256":
        raise InvalidParameter(f"unsupported digest algorithm: {text}")
    raise InvalidParameter(f"invalid checksum digest format: {text}")


def of(data: bytes) -> str:
    """The digest of some bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def chain_ids(diff_ids: list[str]) -> list[str]:
    """The chain id of each layer, bottom first."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def short(text: str) -> str:
    """The twelve digits that people see."""
    return text.removeprefix(PREFIX)[:12]

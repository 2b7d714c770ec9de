"""Detach keys: the sequence that a user types to leave a terminal while its container runs on.

Bytes that may become the sequence are held back; those that turn out not to be it go on, in order. Not here:
names of keys ("ctrl-p,ctrl-q"), which engine/containers/attach.py turns into bytes.
"""

from __future__ import annotations


class DetachKeys:
    """Watches one client's input for one sequence; an empty sequence never matches."""

    __slots__ = ("_held", "_keys")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0  # so many first bytes of the sequence have arrived

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(bytes for the container, is the sequence complete); what follows the sequence is dropped."""
        keys = self._keys
        if not keys or (not self._held and keys[0] not in data):
            return data, False
        out = bytearray()
        for byte in data:
            if byte == keys[self._held]:
                self._held += 1
                if self._held == len(keys):
                    self._held = 0
                    return bytes(out), True
                continue
            self._mismatch(byte, out)
        return bytes(out), False

    def _mismatch(self, byte: int, out: bytearray) -> None:
        """Let go of the bytes that cannot begin the sequence any more; the rest may still."""
        arrived = self._keys[: self._held] + bytes([byte])
        for start in range(1, len(arrived) + 1):
            if self._keys.startswith(arrived[start:]):
                out += arrived[:start]
                self._held = len(arrived) - start
                return

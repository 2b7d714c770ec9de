"""TLS without a socket: bytes of the wire in, plain bytes out, and the other way.

Both ends of an engine's tcp address put a pair of sockets behind this (server/encrypted.py,
cli/encrypted.py), so that whoever holds the plain end may close one half, as attached streams do:
`ssl.SSLSocket` and asyncio's transport can only close both. Source: RFC 8446, 6.1 (close_notify closes one
direction).
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

_PIECE = 1 << 16


class Tls:
    """One end. `shaken` after the handshake, `ended` once the other side has said its last byte."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool = False, hostname: str = "") -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname or None
        )
        self.shaken = self.ended = False

    def peer_name(self) -> str:
        """The common name of the other end's certificate; empty where none was asked for or verified."""
        subject: Any = (self._object.getpeercert() or {}).get("subject", ())
        return next((str(pair[1]) for part in subject for pair in part if pair[0] == "commonName"), "")

    def feed(self, data: bytes) -> bytes:
        """Take what came from the wire; the plain bytes of it. Raises ssl.SSLError.

        All is read at once: SSL_shutdown of OpenSSL 3 breaks a connection that has something to read.
        """
        self._incoming.write(data)
        found = []
        try:
            if not self.shaken:
                self._object.do_handshake()
                self.shaken = True
            while piece := self._object.read(_PIECE):
                found.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # the same end, when ours was said before
            self.ended = True
        return b"".join(found)

    def seal(self, data: bytes) -> None:
        """Encrypt plain bytes; `take` has them."""
        left = memoryview(data)
        while left:
            left = left[self._object.write(left) :]

    def close_write(self) -> None:
        """Say that no more comes from here."""
        with contextlib.suppress(ssl.SSLError):  # the other side's own end is not waited for
            self._object.unwrap()

    def take(self) -> bytes:
        """What must go out to the wire now."""
        return self._outgoing.read()

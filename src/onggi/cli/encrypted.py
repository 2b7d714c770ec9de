"""The command's end of TLS: a pair of sockets, and two threads that encrypt what goes through.

The caller gets a plain socket, on which one half can be closed before the other. Not here: which certificates
(session.py, contexts.py).
"""

from __future__ import annotations

import _socket
import threading

from onggi.cli.errors import CommandError
from onggi.tls import Tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

_CHUNK = 65536


class Plain(_socket.socket):
    """What the caller reads; at the end it says why, where the engine refused our certificate."""

    failure = ""

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        if not data and self.failure:
            raise CommandError(f"error during connect: {self.failure}")
        return data


def wrap(wire: _socket.socket, context: ssl.SSLContext, host: str) -> Plain:
    """Shake hands on a connected socket, which belongs to this from here on. Raises ssl.SSLError, OSError."""
    tls = Tls(context, hostname=host)
    try:
        early = b""
        while not tls.shaken:
            early += tls.feed(b"")
            wire.sendall(tls.take())
            if not tls.shaken:
                data = wire.recv(_CHUNK)
                if not data:
                    raise ConnectionResetError(f"{host} closed the connection in the handshake")
                early += tls.feed(data)
        wire.sendall(tls.take())
    except BaseException:
        wire.close()
        raise
    ours, theirs = _socket.socketpair()
    plain = Plain(fileno=ours.detach())
    lock = threading.Lock()  # one thread at a time in the Tls, and its records go out in their order
    threading.Thread(target=_inward, args=(wire, theirs, tls, lock, plain, early), daemon=True).start()
    threading.Thread(target=_outward, args=(wire, theirs, tls, lock), daemon=True).start()
    return plain


def _inward(
    wire: _socket.socket, theirs: _socket.socket, tls: Tls, lock: threading.Lock, plain: Plain, early: bytes
) -> None:
    try:
        theirs.sendall(early)
        while not tls.ended and (data := wire.recv(_CHUNK)):
            with lock:
                text = tls.feed(data)
            theirs.sendall(text)
    except OSError as error:  # ssl.SSLError is one
        reason = str(getattr(error, "reason", "") or error)
        plain.failure = f"remote error: tls: {reason.lower().replace('_', ' ')}"
    finally:
        _close_half(theirs)


def _outward(wire: _socket.socket, theirs: _socket.socket, tls: Tls, lock: threading.Lock) -> None:
    try:
        while data := theirs.recv(_CHUNK):
            with lock:
                tls.seal(data)
                sealed = tls.take()
            wire.sendall(sealed)
        with lock:
            tls.close_write()
            sealed = tls.take()
        wire.sendall(sealed)
    except OSError:
        _close_half(theirs)


def _close_half(sock: _socket.socket) -> None:
    try:
        sock.shutdown(_socket.SHUT_WR)
    except OSError:
        pass  # the other side went first

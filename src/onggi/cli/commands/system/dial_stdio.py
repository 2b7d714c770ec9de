"""Join stdin and stdout with the engine's socket: the far end of ssh://. Hidden, as Docker's is."""

from __future__ import annotations

import _socket
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = ()
_CHUNK = 65536


def run(session: Session, flags: Flags, args: list[str]) -> int:
    """Ends when the engine has closed its half; the end of stdin closes ours only."""
    sock = session.engine.connect().sock
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(sock.fileno(), select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if 0 in ready:
            data = os.read(0, _CHUNK)
            if data:
                sock.sendall(data)
            else:
                poll.unregister(0)
                sock.shutdown(_socket.SHUT_WR)
        if sock.fileno() in ready:
            data = sock.recv(_CHUNK)
            if not data:
                return 0
            _write_all(data)


def _write_all(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(1, left) :]

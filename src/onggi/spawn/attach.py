"""One attached client: a hijacked connection that shows a process's output and feeds its input.

Output is Docker's attach stream: with `framed`, each piece has an 8-byte head (stream number, three zeros,
length in big endian); raw for a terminal. What the client does not take at once is queued here, and
`full` then asks the streams to stop reading the process: back-pressure, no loss. A client that vanished is
dropped with its queue, so it never blocks anybody.

Input ends with the client's half-close. What that means to the process is the streams' business (streams.py).
"""

from __future__ import annotations

import _socket

from onggi.spawn.detach import DetachKeys
from onggi.spawn.loop import GONE, IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from onggi.spawn.loop import Loop

    class Process(Protocol):
        """Whom a client is attached to."""

        @property
        def accepts_input(self) -> bool: ...

        def input(self, data: bytes) -> None: ...
        def input_ended(self, client: Client) -> None: ...
        def client_drained(self) -> None: ...
        def client_ended(self, client: Client, reason: str) -> None: ...


READ_BYTES = 32768
FULL_BYTES = 65536  # of queued output, from which on the process waits

# A TCP client whose host went away without a word is noticed after about a minute and a half.
_KEEPALIVE = ((_socket.TCP_KEEPIDLE, 30), (_socket.TCP_KEEPINTVL, 10), (_socket.TCP_KEEPCNT, 6))


class Client:
    """Owns the connection. `number` is that of the request which brought it."""

    __slots__ = (
        "_detach", "_early", "_finishing", "_framed", "_loop", "_process", "_queue", "_queued", "_reading",
        "_sock", "_streams", "closed", "number",
    )  # fmt: skip

    def __init__(self, loop: Loop, fd: int, number: int, options: dict[str, Any], process: Process) -> None:
        self._loop = loop
        self._sock = _socket.socket(fileno=fd)
        self._sock.setblocking(False)
        if self._sock.family in (_socket.AF_INET, _socket.AF_INET6):
            self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                self._sock.setsockopt(_socket.IPPROTO_TCP, option, value)
        self._process = process
        self._framed: bool = options["framed"]
        self._streams = (False, options["stdout"], options["stderr"])
        self._reading: bool = options["stdin"]
        self._detach = DetachKeys(b"" if self._framed else options["detach_keys"])
        self._early: bytes = options["early"]
        self._queue: list[bytes | memoryview] = []
        self._queued = 0
        self._finishing = ""
        self.number = number
        self.closed = False

    @property
    def full(self) -> bool:
        return self._queued >= FULL_BYTES

    def begin(self) -> None:
        """The process can be talked to now: pass on what came early, and watch the connection."""
        early, self._early = self._early, b""
        if early and self._reading:
            self._input(early)
        self.rewatch()

    def rewatch(self) -> None:
        """Watch for input while the process takes it, and for room while there is output."""
        if self.closed:
            return
        events = OUT if self._queue else 0
        if self._reading and self._process.accepts_input:
            events |= IN
        self._loop.watch(self._sock.fileno(), events, self._ready)

    def send(self, stream: int, data: bytes) -> None:
        """Show output of stream 1 or 2."""
        if self.closed or self._finishing or not self._streams[stream]:
            return
        if self._framed:
            data = bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data
        self._queue.append(data)
        self._queued += len(data)
        if len(self._queue) == 1:
            self._write()
        if self._queue:
            self.rewatch()

    def finish(self, reason: str) -> None:
        """No more output comes: close when the client has what is queued."""
        if self.closed or self._finishing:
            return
        self._finishing = reason
        self._reading = False
        self._write()
        self.rewatch()

    def drop(self) -> None:
        """Give the connection back unused: the daemon, which has a copy, writes an error into it."""
        self.closed = True
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._write()
        if self.closed:
            return
        if events & GONE:
            self._vanished()
        elif events & IN:
            self._read()
        self.rewatch()

    def _write(self) -> None:
        was_full = self.full
        while self._queue:
            try:
                sent = self._sock.send(self._queue[0], _socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError:
                self._vanished()
                return
            self._queued -= sent
            if sent == len(self._queue[0]):
                del self._queue[0]
            else:
                self._queue[0] = memoryview(self._queue[0])[sent:]
        if not self._queue and self._finishing:
            self._close(self._finishing)
        elif was_full and not self.full:
            self._process.client_drained()

    def _read(self) -> bool:
        """One read; whether there may be more."""
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._input(data)
        else:
            self._reading = False
            self._process.input_ended(self)
        return self._reading

    def _input(self, data: bytes) -> None:
        passed, leaves = self._detach.feed(data)
        if passed:
            self._process.input(passed)
        if leaves:
            self.finish("detached")

    def _vanished(self) -> None:
        """Nobody reads any more; what he sent before is at most a socket's buffer, and still counts."""
        self._queue.clear()
        self._queued = 0
        self._finishing = self._finishing or "closed"
        while self._reading and self._read():
            pass
        self._close(self._finishing)

    def _close(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.forget(self._sock.fileno())
        try:
            self._sock.shutdown(_socket.SHUT_WR)  # the daemon may still hold a copy of the descriptor
        except OSError:
            pass  # not connected any more
        self._sock.close()
        self._queue.clear()
        self._queued = 0
        self._process.client_ended(self, reason)
        self._process.client_drained()

"""The standard streams of one process, init or exec: read once, logged, and shown to every client.

    process --stdout, stderr (pipes) or the terminal's master--> log, clients, capture
    clients --stdin (pipe) or the terminal's master--> process

Back-pressure: while a client's queue is full, or the process does not take its input, reading stops at the
other side. At the process's end what is in the pipes is drained into the log and the clients' queues without
regard to that; it is at most what pipes can hold. A stray process that still has a pipe open after init's end
is given DRAIN_SECONDS (as dockerd gives it), no more.

Owns the parent's ends of the pipes, the terminal's master, and the clients.
"""

from __future__ import annotations

import os

from onggi.spawn import console
from onggi.spawn.loop import IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from onggi.spawn.attach import Client
    from onggi.spawn.log import JsonLog
    from onggi.spawn.loop import Loop
    from onggi.spawn.pipes import Ends

READ_BYTES = 65536  # what a pipe holds
FULL_BYTES = 65536  # of input that the process has not taken
DRAIN_SECONDS = 2.0
DRAIN_READS = 17  # a pipe's size is at most 1 MiB (pipe-max-size, pipe(7)), and then the end
REOPEN_SECONDS = 0.5
STDOUT, STDERR = 1, 2


class Streams:
    """`on_client_end(client, reason)` and `on_end()` tell the shim; on_end comes once, after the end."""

    __slots__ = (
        "_capture", "_close_when_written", "_drain_timer", "_ended", "_input", "_loop", "_on_client_end",
        "_on_end", "_outputs", "_paused", "_running", "_stdin_fd", "_stdin_once", "captured",
        "clients", "log", "on_logged", "terminal",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        *,
        on_client_end: Callable[[Client, str], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._on_client_end, self._on_end = on_client_end, on_end
        self._outputs: dict[int, int] = {}  # descriptor -> stream number
        self._stdin_fd = -1
        self._stdin_once = False
        self._input = bytearray()
        self._close_when_written = False
        self._capture = 0
        self._paused = False
        self._running = False
        self._ended = False
        self._drain_timer: tuple[float, Callable[[], None]] | None = None
        self.captured = bytearray()
        self.clients: list[Client] = []
        self.log: JsonLog | None = None
        self.on_logged: Callable[[int], None] | None = (
            None  # called with the bytes of log written in this run
        )
        self.terminal = False

    def expect(self, *, terminal: bool, stdin_once: bool, capture: int) -> None:
        """Say what kind of streams `running` is going to bring."""
        self.terminal = terminal
        self._stdin_once = stdin_once
        self._capture = capture

    def running(self, ends: Ends) -> None:
        """The process has been started: begin to carry. `ends` are ours from now on."""
        self._running = True
        if "stdin" in ends:
            self._stdin_fd = ends["stdin"]
        if "console" in ends:
            self._outputs = {ends["console"]: STDOUT}
        elif "stdout" in ends:
            self._outputs = {ends["stdout"]: STDOUT, ends["stderr"]: STDERR}
        self._rewatch()
        for client in self.clients.copy():
            client.begin()

    def attach(self, client: Client) -> None:
        self.clients.append(client)
        if self._ended:
            client.finish("finished")
        elif self._running:
            client.begin()

    # --- output ------------------------------------------------------------------------------

    def _rewatch(self) -> None:
        """Watch what can be carried now."""
        for fd in self._outputs:
            events = 0 if self._paused else IN
            if fd == self._stdin_fd and self._input:
                events |= OUT
            if events:
                self._loop.watch(fd, events, self._handler(fd))
            else:
                self._loop.forget(fd)  # not even its hang-up, which would come again and again
        if self._stdin_fd >= 0 and self._stdin_fd not in self._outputs:
            fd = self._stdin_fd
            self._loop.watch(fd, OUT if self._input else 0, lambda events: self._stdin_ready(events))

    def _handler(self, fd: int) -> Callable[[int], None]:
        return lambda events: self._ready(fd, events)

    def _ready(self, fd: int, events: int) -> None:
        if events & OUT:
            self._write_input()
        if events & ~OUT and fd in self._outputs and self._read(fd) is None:
            self._output_ended(fd)
        self._check_end()

    def _read(self, fd: int) -> bool | None:
        """One read: True when there was something, False when there is nothing now, None at the end."""
        try:
            data = console.read(fd, READ_BYTES) if self.terminal else os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            return None
        self._show(self._outputs[fd], data)
        return True

    def _show(self, stream: int, data: bytes) -> None:
        if self.log is not None:
            self.log.write(stream, data)
            if self.on_logged is not None:
                self.on_logged(self.log.written)
        if len(self.captured) < self._capture:
            self.captured += data[: self._capture - len(self.captured)]
        full = False
        for client in self.clients.copy():
            client.send(stream, data)
            full = full or client.full
        if full and not self._paused:
            self._paused = True
            self._rewatch()

    def client_drained(self) -> None:
        """A client has room again, or is gone."""
        if self._paused and not any(client.full for client in self.clients):
            self._paused = False
            self._rewatch()

    def _output_ended(self, fd: int) -> None:
        if self.terminal and not self._ended:
            # Nobody has the terminal open, and it hangs up for as long; but somebody may open it again.
            self._loop.forget(fd)
            self._loop.call_later(REOPEN_SECONDS, self._rewatch)
            return
        self._loop.forget(fd)
        del self._outputs[fd]
        if fd == self._stdin_fd:
            self._stdin_fd = -1
        os.close(fd)

    # --- the end -----------------------------------------------------------------------------

    def process_ended(self) -> None:
        """The process has been reaped: drain, then on_end."""
        self._ended = True
        self._running = False
        self._close_input()
        for fd in list(self._outputs):
            got: bool | None = True
            for _ in range(DRAIN_READS):
                if got:
                    got = self._read(fd)
            if got is None or self.terminal:
                self._output_ended(fd)
        self._rewatch()
        if self._outputs:
            self._drain_timer = self._loop.call_later(DRAIN_SECONDS, self._give_up)
        self._check_end()

    def _give_up(self) -> None:
        self._drain_timer = None
        for fd in list(self._outputs):
            self._output_ended(fd)
        self._check_end()

    def _check_end(self) -> None:
        if not self._ended or self._outputs:
            return
        if self._drain_timer is not None:
            self._loop.cancel(self._drain_timer)
            self._drain_timer = None
        if self.log is not None:
            log, self.log = self.log, None
            log.finish()
        on_end, self._on_end = self._on_end, _nothing
        on_end()
        for client in self.clients.copy():
            client.finish("finished")

    def abandon(self) -> None:
        """The process was never started: connections go back to the daemon, which may say why."""
        self._ended = True
        if self.log is not None:
            self.log.finish()
            self.log = None
        for client in self.clients:
            client.drop()
        self.clients.clear()

    # --- input -------------------------------------------------------------------------------

    @property
    def accepts_input(self) -> bool:
        return self._running and len(self._input) < FULL_BYTES

    def input(self, data: bytes) -> None:
        """Bytes of a client for the process; dropped where it has no stdin, or has closed it."""
        if self._stdin_fd < 0 or self._close_when_written:
            return
        self._input += data
        self._write_input()

    def _write_input(self) -> None:
        was_full = not self.accepts_input
        while self._input and self._stdin_fd >= 0:
            try:
                sent = os.write(self._stdin_fd, self._input)
            except BlockingIOError:
                break
            except OSError:  # EPIPE: nobody reads stdin any more; EIO: nor the terminal
                self._close_input()
                return
            del self._input[:sent]
        if not self._input and self._close_when_written:
            self._close_input()
        self._rewatch()
        if was_full and self.accepts_input:
            for client in self.clients:
                client.rewatch()

    def _stdin_ready(self, events: int) -> None:
        if events & ~OUT:  # the reading end of the pipe is closed
            self._close_input()
        else:
            self._write_input()

    def input_ended(self, client: Client) -> None:
        """A client has closed his side. With StdinOnce that is the process's end of file; otherwise it, or a
        terminal's, is the end of the attachment (Docker's rule, daemon/stream: "stdin is closed" ends both).
        """
        if self._stdin_once and not self.terminal:
            self.close_stdin()
        else:
            client.finish("closed")

    def close_stdin(self) -> None:
        """End of file for the process, after what it has not read yet; a terminal has none."""
        if self.terminal:
            return
        self._close_when_written = True
        if not self._input:
            self._close_input()

    def _close_input(self) -> None:
        fd, self._stdin_fd = self._stdin_fd, -1
        self._input = bytearray()
        if fd >= 0 and fd not in self._outputs:
            self._loop.forget(fd)
            os.close(fd)

    # --- others ------------------------------------------------------------------------------

    def resize(self, rows: int, columns: int) -> bool:
        """Set the terminal's size; False where there is no terminal (any more)."""
        if not self.terminal or not self._outputs:
            return False
        console.resize(next(iter(self._outputs)), rows, columns)
        return True

    def client_ended(self, client: Client, reason: str) -> None:
        """A client's connection is closed. His input has ended with it, said or not."""
        if client in self.clients:
            self.clients.remove(client)
        self._on_client_end(client, reason)


def _nothing() -> None:
    """on_end has been called already."""

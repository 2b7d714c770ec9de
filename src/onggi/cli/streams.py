"""Attached streams: this process's stdin, stdout and stderr joined with a hijacked connection.

    raw terminal: bytes pass as they are        else: frames of  kind(1) 0 0 0 length(4, big-endian) bytes
        kinds: 0 stdin, 1 stdout, 2 stderr, 3 an error of the engine

One thread and one poll loop. What the engine does not take yet stops the reading of stdin, never that of the
output: a filter that writes more than it reads would wait for us, and we for it. The end of stdin half-closes
the connection; detach keys end the loop with `detached`. Signals are written to a pipe, so that they are
handled between reads. Not here: requests (the verbs).
"""

from __future__ import annotations

import os
import select

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

if not TYPE_CHECKING:
    import _signal as signal  # signal itself imports enum, 6 ms

_CHUNK = 65536
_NAMED_KEYS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
DEFAULT_DETACH = b"\x10\x11"  # ctrl-p, ctrl-q


def detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` or `a,b` as bytes; empty text gives the default. Raises CommandError."""
    if not text:
        return DEFAULT_DETACH
    found = []
    for key in text.split(","):
        if len(key) == 1:
            found.append(ord(key))
            continue
        name = key[5:] if key.startswith("ctrl-") else ""
        if len(name) == 1 and "a" <= name <= "z":
            found.append(ord(name) - 96)
        elif name in _NAMED_KEYS:
            found.append(_NAMED_KEYS[name])
        else:
            raise CommandError(f"invalid detach keys ({text}): Unknown character: '{key}'")
    return bytes(found)


class Terminal:
    """Raw mode of a terminal, given back at the end. Does nothing where `fd` is no terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> Terminal:
        if self._fd < 0:
            return self
        import termios

        try:
            mode = termios.tcgetattr(self._fd)
        except termios.error:
            return self
        self._saved = list(mode)
        mode[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        # OPOST stays, so that what this program says itself is aligned
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6] = list(mode[6])
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)


class Signals:
    """Signals as readable bytes on `fd`, while the block runs."""

    def __init__(self, numbers: set[int]) -> None:
        self._numbers = numbers
        self._before: dict[int, Any] = {}
        self.fd = self._write_fd = -1

    def __enter__(self) -> Signals:
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, _noted)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, action in self._before.items():
            signal.signal(number, action)
        os.close(self.fd)
        os.close(self._write_fd)

    def read(self) -> list[int]:
        try:
            return list(os.read(self.fd, 256))
        except BlockingIOError:
            return []


def _noted(number: int, frame: object) -> None:
    """The wake-up pipe has the number; a handler must exist for that."""


def proxied_signals() -> set[int]:
    """Those that --sig-proxy sends on: all that can be caught, but those of the terminal, children and
    pipes.
    """
    left = {signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH, signal.SIGKILL, signal.SIGSTOP}
    # faults belong to this process; realtime signals below SIGRTMIN to the C library
    faults = {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGABRT,
    }
    return {int(number) for number in signal.valid_signals() - left - faults}


class Demultiplexer:
    """Takes framed bytes and writes them to stdout and stderr."""

    def __init__(self, out_fd: int, err_fd: int) -> None:
        self._targets = {0: out_fd, 1: out_fd, 2: err_fd}
        self._buffer = bytearray()
        self._left = 0
        self._kind = 1

    def feed(self, data: bytes) -> None:
        """Raises CommandError for an error that the engine put into the stream."""
        self._buffer += data
        while self._buffer:
            if self._left == 0:
                if len(self._buffer) < 8:
                    return
                self._kind = self._buffer[0]
                self._left = int.from_bytes(self._buffer[4:8], "big")
                if self._kind > 3:
                    raise CommandError(f"Unrecognized input header: {self._kind}")
                del self._buffer[:8]
                continue
            part = bytes(self._buffer[: self._left])
            if self._kind == 3:
                if len(part) < self._left:
                    return
                raise CommandError("error from daemon in stream: " + part.decode("utf-8", "replace"))
            del self._buffer[: len(part)]
            self._left -= len(part)
            write_all(self._targets[self._kind], part)


class Plain:
    """A terminal's bytes: to stdout as they are."""

    def __init__(self, out_fd: int) -> None:
        self._out_fd = out_fd

    def feed(self, data: bytes) -> None:
        write_all(self._out_fd, data)


def write_all(fd: int, data: bytes) -> None:
    """Write everything; nothing where `fd` is negative."""
    view = memoryview(data)
    while view and fd >= 0:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])


class Pump:
    """Moves bytes both ways until the engine ends the stream, or the user detaches."""

    def __init__(
        self,
        sock: Any,
        early: bytes,
        *,
        raw: bool,
        stdin: bool,
        keys: bytes = b"",
        out_fd: int = 1,
        err_fd: int = 2,
        signals: Signals | None = None,
        on_signal: Callable[[int], None] | None = None,
    ) -> None:
        self._sock = sock
        self._early = early
        self._sink: Demultiplexer | Plain = Plain(out_fd) if raw else Demultiplexer(out_fd, err_fd)
        self._keys = keys if raw and stdin else b""
        self._held = b""
        self._stdin = stdin
        self._unsent = b""  # of stdin
        self._signals = signals
        self._on_signal = on_signal
        self.detached = False

    def run(self, finished: Callable[[], bool] | None = None, extra_fd: int = -1) -> None:
        """Pump until the end. `finished` is asked when `extra_fd` is readable, and ends the pump when
        true.
        """
        if self._early:
            self._sink.feed(self._early)
        sock_fd = self._sock.fileno()
        while not self.detached or self._unsent:
            ready = self._ready(sock_fd, extra_fd)
            if self._signals is not None and self._signals.fd in ready:
                for number in self._signals.read():
                    if self._on_signal is not None:
                        self._on_signal(number)
            if ready.get(sock_fd, 0) & ~select.POLLOUT:
                try:
                    data = self._sock.recv(_CHUNK)
                except (ConnectionResetError, BrokenPipeError):
                    data = b""
                if not data:
                    return
                self._sink.feed(data)
            if ready.get(sock_fd, 0) & select.POLLOUT:
                self._send()
            if 0 in ready:
                self._take_stdin()
            if extra_fd in ready:
                if finished is not None and finished():
                    return
                extra_fd = -1

    def _ready(self, sock_fd: int, extra_fd: int) -> dict[int, int]:
        """Wait; descriptors and their events."""
        poll = select.poll()
        poll.register(sock_fd, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        if self._stdin and not self._unsent:
            poll.register(0, select.POLLIN)
        if self._signals is not None:
            poll.register(self._signals.fd, select.POLLIN)
        if extra_fd >= 0:
            poll.register(extra_fd, select.POLLIN)
        return dict(poll.poll())

    def _take_stdin(self) -> None:
        """Pass on what stdin has, or its end."""
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._stdin = False
            self._half_close()
            return
        self._unsent = self._without_keys(data) if self._keys else data
        self._stdin = not self.detached
        self._send()

    def _send(self) -> None:
        """As much as the engine takes now."""
        import _socket

        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent, _socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._stdin, self._unsent = False, b""

    def _without_keys(self, data: bytes) -> bytes:
        """Hold back a beginning of the detach keys; the whole of them detaches."""
        out = bytearray()
        for byte in data:
            if byte == self._keys[len(self._held)]:
                self._held += bytes((byte,))
                if self._held == self._keys:
                    # the engine sees the keys too, and lets go of its side
                    out += self._held
                    self.detached = True
                    break
                continue
            out += self._held
            self._held = b""
            if byte == self._keys[0]:
                self._held = bytes((byte,))
            else:
                out.append(byte)
        return bytes(out)

    def _half_close(self) -> None:
        import _socket

        try:
            self._sock.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # the engine closed first


def terminal_size() -> tuple[int, int] | None:
    """(height, width) of stdout's terminal."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    return (size.lines, size.columns) if size.lines and size.columns else None


def check_tty(*, attach_stdin: bool, tty: bool) -> None:
    """A terminal inside needs one outside when stdin is attached."""
    if attach_stdin and tty and not os.isatty(0):
        raise CommandError("the input device is not a TTY")

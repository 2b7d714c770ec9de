"""Terminals of onggi-runtime: the master handed over by a socket, or carried by this process in the
foreground.

Source: the console socket of runc (docs/terminals.md): one SCM_RIGHTS message, the text names the terminal.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the signal module loads enum: 6 ms
import _socket
import os
import select

from onggi.kernel import processes, terminals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FORWARDED = (1, 2, 3, 10, 12, 14, 15, 18, 20, 21, 22)  # HUP INT QUIT USR1 USR2 ALRM TERM CONT TSTP TTIN TTOU
SIGWINCH = 28


def hand_over(path: str, console_fd: int) -> None:
    """Send the pty's master to whoever listens at `path`, and close our own."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    try:
        sock.connect(path)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, console_fd.to_bytes(4, "little"))
        sock.sendmsg([b"/dev/ptmx"], [rights])
    except OSError as failure:
        raise OSError(failure.errno, failure.strerror, path) from None
    finally:
        sock.close()
        os.close(console_fd)


def attend(pid: int, pidfd: int, console_fd: int | None) -> int:
    """Stay with a process in the foreground: signals to it, its terminal to ours. Its exit code, or 128+n."""
    restore = _forward_signals(pidfd, console_fd)
    try:
        if console_fd is not None:
            _carry(pidfd, console_fd)
        status = processes.wait_pidfd(pidfd)
    finally:
        restore()
        os.close(pidfd)
    assert status is not None
    return status if status >= 0 else 128 - status


def _forward_signals(pidfd: int, console_fd: int | None) -> Callable[[], None]:
    def forward(number: int, _: object) -> None:
        try:
            processes.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass  # it has ended; attend() is about to notice

    def resize(*_: object) -> None:
        if console_fd is not None and os.isatty(0):
            terminals.set_window_size(console_fd, *terminals.window_size(0))

    for number in FORWARDED:
        _signal.signal(number, forward)
    _signal.signal(SIGWINCH, resize)
    resize()

    def restore() -> None:
        for number in (*FORWARDED, SIGWINCH):
            _signal.signal(number, _signal.SIG_DFL)

    return restore


def _carry(pidfd: int, console_fd: int) -> None:
    """Bytes both ways until the process has ended and the terminal is drained."""
    import termios

    saved = termios.tcgetattr(0) if os.isatty(0) else None
    if saved is not None:
        raw = termios.tcgetattr(0)
        raw[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
        raw[1] &= ~termios.OPOST
        raw[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        termios.tcsetattr(0, termios.TCSADRAIN, raw)
    try:
        _pump(pidfd, console_fd)
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        os.close(console_fd)


def _pump(pidfd: int, console_fd: int) -> None:
    poll = select.poll()
    for fd in (0, console_fd, pidfd):
        poll.register(fd, select.POLLIN)
    ended = False
    while True:
        ready = dict(poll.poll(0 if ended else None))
        if console_fd in ready:
            try:
                data = os.read(console_fd, 65536)
            except OSError:
                return  # EIO: the last slave is closed
            _write_all(1, data)
        elif ended:
            return
        if 0 in ready:
            data = os.read(0, 65536)
            if data:
                _write_all(console_fd, data)
            else:
                poll.unregister(0)
        if pidfd in ready and not ended:
            ended = True
            poll.unregister(pidfd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

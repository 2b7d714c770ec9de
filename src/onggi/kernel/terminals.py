"""Terminals: pseudo-terminal pairs, window sizes, the controlling terminal. pty(7), ioctl_tty(2)."""

from __future__ import annotations

import fcntl
import os

_TIOCSCTTY = 0x540E
_TIOCGWINSZ = 0x5413
_TIOCSWINSZ = 0x5414
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def _short(number: int) -> bytes:
    return number.to_bytes(2, "little")


def unlock(master_fd: int) -> None:
    """Let the other end be opened, unlockpt(3)."""
    fcntl.ioctl(master_fd, _TIOCSPTLCK, bytes(4))


def open_peer(master_fd: int) -> int:
    """The other end, without a path that somebody could have changed (TIOCGPTPEER, 4.13). Close-on-exec."""
    return fcntl.ioctl(master_fd, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def set_controlling(fd: int) -> None:
    """Make this the controlling terminal of the caller's session."""
    fcntl.ioctl(fd, _TIOCSCTTY, 0)


def set_window_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, _TIOCSWINSZ, _short(rows) + _short(columns) + bytes(4))


def window_size(fd: int) -> tuple[int, int]:
    """(rows, columns)."""
    raw = fcntl.ioctl(fd, _TIOCGWINSZ, bytes(8))
    return int.from_bytes(raw[0:2], "little"), int.from_bytes(raw[2:4], "little")

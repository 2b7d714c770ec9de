"""The master of a container's terminal: its size, and what reading it means.

Reading a master gives EIO when nobody has the other end open (pty(7)): that is a terminal's end of file. But
a container may open it again later, so it is final only when its process has ended.
"""

from __future__ import annotations

import errno
import os

from onggi.kernel import terminals


def resize(master_fd: int, rows: int, columns: int) -> None:
    """Set the window's size; the foreground process group gets SIGWINCH. Raises OSError."""
    terminals.set_window_size(master_fd, min(rows, 0xFFFF), min(columns, 0xFFFF))


def read(master_fd: int, count: int) -> bytes:
    """Output of a terminal; b"" at its end. Raises BlockingIOError where there is none yet."""
    try:
        return os.read(master_fd, count)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise

"""A terminal for tests: a pty, and what would be seen on it.

    screen = Screen(["onggi", ...], env, rows=24, columns=80)
    screen.until("text");  screen.lines();  screen.seen          (bytes as they came)

Knows what progress displays use of ECMA-48: cursor up, to the left, erase, colours. Anything else that comes
from the program is in `strange`: a test that fears control characters looks there.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata
from collections.abc import Callable

SEQUENCE = re.compile(r"\x1b\[([0-?]*)([@-~])")


class Grid:
    """Rows of letters, as many as were ever written: the screen's top is not lost."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.strange: list[str] = []
        self.colors: set[str] = set()

    def feed(self, text: str) -> str:
        """Take what is whole of it; the rest."""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if found is None:
                    if len(text) - at < 16:
                        return text[at:]
                    self.strange.append(text[at : at + 8])
                    at += 1
                    continue
                self._sequence(found[1], found[2])
                at = found.end()
                continue
            self._letter(text[at])
            at += 1
        return ""

    def _sequence(self, numbers: str, name: str) -> None:
        count = int(numbers) if numbers.isdigit() else 1
        if name == "A":
            self.row = max(0, self.row - count)
        elif name == "K":
            del self.rows[self.row][0 if numbers == "2" else self.column :]
        elif name == "m":
            self.colors.add(numbers)
        elif (name in "hl" and numbers == "?25") or name == "B":
            self.row = min(len(self.rows) - 1, self.row + (count if name == "B" else 0))
        else:
            self.strange.append(f"\x1b[{numbers}{name}")

    def _letter(self, letter: str) -> None:
        if letter == "\n":
            self.row += 1
            while self.row >= len(self.rows):
                self.rows.append([])
        elif letter == "\r":
            self.column = 0
        elif ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0:
            self.strange.append(letter)
        else:
            self._put(letter)

    def _put(self, letter: str) -> None:
        if unicodedata.combining(letter):
            return
        width = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if self.column + width > self.columns:
            self._letter("\n")
            self.column = 0
        row = self.rows[self.row]
        row += [" "] * (self.column + width - len(row))
        row[self.column] = letter
        if width == 2:
            row[self.column + 1] = ""
        self.column += width

    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]


class Screen:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], env: dict[str, str], rows: int = 24, columns: int = 80) -> None:
        self.master, slave = pty.openpty()
        self.grid = Grid(columns)
        self.resize(rows, columns)
        self.seen = b""
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a letter
        self._open = True
        try:
            self.process = subprocess.Popen(
                command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                env={**os.environ, "TERM": "xterm", **env},
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )  # fmt: skip
        finally:
            os.close(slave)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.grid.columns = columns

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read(self, seconds: float = 0.1) -> None:
        if self._open and select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # EIO: the last process has closed the terminal
                data = b""
            self._open = bool(data)
            self.seen += data
            self._rest = self.grid.feed(self._rest + self._decoder.decode(data))

    def until(self, wanted: str, seconds: float = 30) -> None:
        """Wait until it is to be seen."""
        self.when(lambda lines: wanted in "\n".join(lines), seconds)

    def when(self, holds: Callable[[list[str]], object], seconds: float = 30) -> list[str]:
        """Wait until the screen is so: what a read brings may end in the middle of a frame, or of a line."""
        deadline = time.monotonic() + seconds
        while not holds(self.lines()):
            assert time.monotonic() < deadline and self._open, "it did not come:\n" + "\n".join(self.lines())
            self.read()
        return self.lines()

    def wait(self, seconds: float = 30) -> int:
        """Its end, with all that it wrote."""
        deadline = time.monotonic() + seconds
        while self._open and time.monotonic() < deadline:
            self.read()
        return self.process.wait(timeout=seconds)

    def interrupt(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def lines(self) -> list[str]:
        return self.grid.lines()

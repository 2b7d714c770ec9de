"""The engine's stream of progress messages: pull, load, import, bootstrap.

    {"status", "id", "progressDetail": {"current", "total"}}   {"stream"}   {"error", "errorDetail"}

In a pipe a message with a running figure is left out and every change of state is a line; on a terminal,
lines with an id are redrawn in place.
"""

from __future__ import annotations

import os

from onggi.cli import human
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def show(
    messages: Iterable[dict[str, Any]],
    *,
    quiet: bool = False,
    out_fd: int = 1,
    aux: Callable[[dict[str, Any]], None] = lambda _: None,
) -> None:
    """Print a stream to its end; `aux` hears what is for programs. Raises CommandError for an error in it."""
    painter = Lines(out_fd) if os.isatty(out_fd) else Log(out_fd)
    for message in messages:
        failure = message.get("errorDetail") or (
            {"message": message["error"]} if message.get("error") else None
        )
        if failure:
            code = failure.get("code")
            raise CommandError(
                str(failure.get("message") or message.get("error")), code if code and code < 256 else 1
            )
        if "aux" in message:
            aux(message["aux"])
        elif not quiet:
            painter.show(message)


class Log:
    """One line for each message that is no running figure."""

    def __init__(self, out_fd: int) -> None:
        self._out_fd = out_fd

    def show(self, message: dict[str, Any]) -> None:
        if "stream" in message:
            os.write(self._out_fd, message["stream"].encode())
            return
        if (message.get("progressDetail") or {}).get("current"):
            return
        os.write(self._out_fd, (_head(message) + _text(message) + "\n").encode())


class Lines:
    """A line for each id, redrawn where it stands."""

    def __init__(self, out_fd: int) -> None:
        self._out_fd = out_fd
        self._rows: dict[str, int] = {}

    def show(self, message: dict[str, Any]) -> None:
        if "stream" in message:
            os.write(self._out_fd, message["stream"].encode())
            return
        name = message.get("id", "")
        text = _head(message) + _text(message) + _bar(message.get("progressDetail") or {})
        if not name:
            os.write(self._out_fd, (text + "\r\n").encode())
            self._rows.clear()
            return
        if "progressDetail" not in message and name not in self._rows:
            os.write(self._out_fd, (text + "\r\n").encode())
            return
        fresh = name not in self._rows
        row = self._rows.setdefault(name, len(self._rows))
        if fresh:
            os.write(self._out_fd, b"\r\n")
        up = len(self._rows) - row
        os.write(self._out_fd, f"\x1b[{up}A\x1b[2K\r{text}\x1b[{up}B\r".encode())


def _head(message: dict[str, Any]) -> str:
    return f"{message['id']}: " if message.get("id") else ""


def _text(message: dict[str, Any]) -> str:
    return str(message.get("status", ""))


def _bar(detail: dict[str, Any]) -> str:
    current, total = detail.get("current") or 0, detail.get("total") or 0
    if not current and not total:
        return ""
    if total <= 0 or current > total:
        return f" {human.size(current)}"
    done = int(current / total * 50)
    bar = "=" * done + (">" if done < 50 else "") + " " * (49 - done)
    return f" [{bar}] {human.size(current):>8}/{human.size(total)}"

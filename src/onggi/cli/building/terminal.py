"""Progress on a terminal, drawn anew ten times a second, as BuildKit's clients draw it:

    [+] Building 2.3s (3/5)                                                     onggi
     => CACHED [1/4] FROM docker.io/library/debian:12                            0.0s
     => [2/4] RUN make                                                           1.2s
     => => # cc -c main.c

The last lines that a running step wrote are below it, as many as there is room for. What does not fit the
height is left out while it runs, the steps that ended long ago first; at the end every step is shown once.
rich keeps the drawing in place, whatever the terminal's size becomes. NO_COLOR (no-color.org),
BUILDKIT_COLORS=run=green:warning=yellow:error=red:cancel=255,165,0 and BUILDKIT_TTY_LOG_LINES are obeyed.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from onggi.cli import human
from onggi.cli.building import safe
from onggi.cli.building.steps import Step, Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DRAWN_PER_SECOND = 10
LOG_LINES = 6
NARROWEST = 20
COLORS = {"run": "blue", "cancel": "yellow", "warning": "yellow", "error": "red"}
NAMED = ("black", "blue", "cyan", "green", "magenta", "red", "white", "yellow")


class Terminal:
    """Draws on standard error. Its thread only draws; what is drawn changes under the lock."""

    def __init__(self) -> None:
        self.steps = Steps()
        self._lock = threading.Lock()
        self._console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._colors = colors(os.environ.get("BUILDKIT_COLORS", ""))
        self._log_lines = _number(os.environ.get("BUILDKIT_TTY_LOG_LINES", ""), LOG_LINES)
        self._began = time.monotonic()
        self._sent = 0
        self._sent_seconds = 0.0
        self._over = False
        self._live = Live(
            console=self._console, get_renderable=self._frame, refresh_per_second=DRAWN_PER_SECOND,
            transient=True, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip

    def begin(self) -> None:
        self._live.start()

    def sent(self, count: int) -> None:
        with self._lock:
            self._sent += count
            self._sent_seconds = time.monotonic() - self._began

    def status(self, status: dict[str, Any]) -> None:
        with self._lock:
            for _ in self.steps.apply(status):
                pass

    def text(self, text: str) -> None:
        """Another engine's words."""
        self._console.print(Text(safe.lines(text.rstrip("\n"))))

    def end(self, *, failed: bool) -> None:
        if self._over:
            return
        self._over = True
        self._live.stop()
        with self._lock:
            over = all(step.completed for step in self.steps.all.values() if step.started)
            lines = self._lines(self._width(), None, " FINISHED" if over else "")
            if self.steps.all or self._sent:
                self._console.print(Group(*lines, *self._warnings()), soft_wrap=True)

    # -- drawing

    def _width(self) -> int:
        return max(NARROWEST, self._console.width - 1)  # the last column of a terminal may wrap

    def _frame(self) -> Group:
        with self._lock:
            return Group(*self._lines(self._width(), max(1, self._console.height - 1), ""))

    def _lines(self, width: int, height: int | None, end: str) -> list[Text]:
        """What is to be seen; `height` None: all of it, without the words of steps."""
        shown = [step for step in self.steps.all.values() if step.started]
        done = sum(bool(step.completed) for step in shown)
        head = f"[+] Building {time.monotonic() - self._began:.1f}s ({done}/{len(self.steps.all)}){end}"
        rows = [(step, self._of(step, width)) for step in shown]
        sent = [self._context(width)] if self._sent else []
        if height is None:
            return [_fitted(head, "onggi", width), *sent, *(line for _, lines in rows for line in lines)]
        height -= 1 + len(sent)
        said = sum(min(len(step.lines), self._log_lines) for step in shown if not step.completed)
        rows = _cut(rows, height - min(said, height // 2))
        room = height - sum(len(lines) for _, lines in rows)
        found = [_fitted(head, "onggi", width), *sent]
        for step, lines in rows:
            words = [] if step.completed else self._words(step, width, min(room, self._log_lines))
            room -= len(words)
            found += [*lines, *words]
        return found[: height + 1 + len(sent)]

    def _of(self, step: Step, width: int) -> list[Text]:
        """A step's line, and those of what has a length in it."""
        mark = "CACHED " if step.cached else "ERROR " if step.failed else "CANCELED " if step.error else ""
        name = safe.line(step.name.replace("\n", " "))
        took = max(0.0, (step.completed or time.time()) - step.started)
        lines = [_fitted(f" => {mark}{name}", f"{took:.1f}s", width, self._color(step))]
        for transfer in step.transfers.values():
            took = (transfer.completed or time.time()) - (transfer.started or step.started)
            left = f" => => {safe.line(transfer.name)}"
            lines.append(_fitted(left, f"{transfer.amount} {max(0.0, took):.1f}s", width, self._color(step)))
        return lines

    def _words(self, step: Step, width: int, count: int) -> list[Text]:
        last = [line for _, line in step.lines[-count:]] if count > 0 else []
        if step.rest and count > 0:
            last = [*last, step.rest][-count:]
        return [_fitted(f" => => # {safe.line(line)}", "", width, "dim") for line in last]

    def _context(self, width: int) -> Text:
        left = f" => [internal] transferring context: {human.size(self._sent)}"
        return _fitted(left, f"{self._sent_seconds:.1f}s", width, self._colors["run"])

    def _warnings(self) -> list[Text]:
        return [Text(f"WARNING: {safe.line(one)}", self._colors["warning"]) for one in self.steps.warnings]

    def _color(self, step: Step) -> str:
        if step.error:
            return self._colors["cancel" if step.canceled else "error"]
        return self._colors["run"] if step.completed else ""


def _cut(rows: list[tuple[Step, list[Text]]], height: int) -> list[tuple[Step, list[Text]]]:
    """What fits: steps that have ended go, the oldest of them first."""
    excess = sum(len(lines) for _, lines in rows) - height
    left = []
    for step, lines in rows:
        if excess > 0 and step.completed and not step.failed:
            excess -= len(lines)
        else:
            left.append((step, lines))
    return left


def _fitted(left: str, right: str, width: int, style: str = "") -> Text:
    """A line of exactly `width` cells: what is too long is cut, and says so."""
    room = width - cell_len(right) - 1 if right else width
    if cell_len(left) > room:
        left = set_cell_size(left, max(0, room - 1)) + "\u2026"
    return Text(
        set_cell_size(left, room) + (f" {right}" if right else ""), style, no_wrap=True, overflow="crop"
    )


def colors(text: str) -> dict[str, str]:
    """What is drawn in which colour; what cannot be read of BUILDKIT_COLORS changes nothing."""
    found = dict(COLORS)
    for pair in filter(None, text.split(":")):
        name, _, color = pair.partition("=")
        wanted = _color(color.strip().lower())
        if name.strip().lower() in found and wanted:
            found[name.strip().lower()] = wanted
    return found


def _color(text: str) -> str:
    """`green`, `light-green` or `0,255,0` as rich writes it; empty where it is no colour."""
    plain = text.removeprefix("light-")
    if plain in NAMED:
        return f"bright_{plain}" if plain != text else plain
    parts = text.split(",")
    if len(parts) == 3 and all(part.strip().isdigit() and int(part) < 256 for part in parts):
        return f"rgb({','.join(part.strip() for part in parts)})"
    return ""


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else otherwise

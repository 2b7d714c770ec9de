"""Progress as lines: each step by its number, a line when it begins, for each that it writes, at its end.

#2 [2/3] RUN make
#2 0.104 cc -c main.c
#2 DONE 0.3s
"""

from __future__ import annotations

import os

from onggi.cli.building.steps import Step, Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Plain:
    """Writes to standard error; a terminal gets no control character of a step's."""

    def __init__(self) -> None:
        self.steps = Steps()
        self._safe = os.isatty(2)
        self._last = 0

    def begin(self) -> None:
        """Nothing is shown before a step begins."""

    def sent(self, count: int) -> None:
        """Bytes of the context are no line."""

    def text(self, text: str) -> None:
        os.write(1, self._shown(text).encode())

    def status(self, status: dict[str, Any]) -> None:
        for what, step, text in self.steps.apply(status):
            self._event(what, step, text)

    def _event(self, what: str, step: Step | None, text: str) -> None:
        if step is None:
            self._line(0, f"WARNING: {text}")
        elif what == "started":
            self._line(step.number, step.name)
        elif what == "ended":
            self._line(step.number, _end(step))
        else:
            self._line(step.number, text)

    def _line(self, number: int, text: str) -> None:
        if self._last and number != self._last:
            os.write(2, b"\n")
        self._last = number
        os.write(2, f"#{number} {self._shown(text)}\n".encode("utf-8", "surrogateescape"))

    def _shown(self, text: str) -> str:
        if not self._safe:
            return text
        from onggi.cli.building import safe

        return safe.lines(text)

    def end(self, *, failed: bool) -> None:
        """All has been said."""


def _end(step: Step) -> str:
    if step.error:
        return "CANCELED" if step.canceled else f"ERROR: {step.error}"
    return "CACHED" if step.cached else f"DONE {step.completed - step.started:.1f}s"

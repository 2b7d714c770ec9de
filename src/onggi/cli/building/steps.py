"""The steps of a build as its status messages tell them; what every display shows comes from here.

    steps = Steps()
    for event in steps.apply(status): ...       what has just happened, for displays that print lines
    steps.all                                   everything, for displays that are drawn anew

A status is a SolveStatus as BuildKit's clients print it (`--progress=rawjson`). What a step writes is
hostile: lines are bounded here, and made harmless where they are shown (safe.py).
"""

from __future__ import annotations

from onggi.cli import human

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LOG_LINES = 20  # of a step that failed, shown again at the end
LINE_MAX = 16 << 10  # letters; a longer line is shown in pieces
CANCELED = "context canceled"


class Transfer:
    """Something with a length inside a step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.current = 0
        self.total = 0
        self.started = 0.0
        self.completed = 0.0

    @property
    def amount(self) -> str:
        """`1.2MB / 3MB`; empty where nothing is counted."""
        if not self.current and not self.total:
            return ""
        done = human.size(self.current)
        return f"{done} / {human.size(self.total)}" if self.total and self.current < self.total else done


class Step:
    """One vertex; instants are seconds since 1970, 0 for none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0  # in the order of their beginnings
        self.started = 0.0
        self.completed = 0.0
        self.cached = False
        self.error = ""
        self.transfers: dict[str, Transfer] = {}
        self.lines: list[tuple[float, str]] = []  # the last ones, with seconds since its beginning
        self.rest = ""  # of a line that has no end yet

    @property
    def canceled(self) -> bool:
        return self.error.startswith(CANCELED)

    @property
    def failed(self) -> bool:
        return bool(self.error) and not self.canceled


class Steps:
    """All of them, in the order in which they were named."""

    def __init__(self) -> None:
        self.all: dict[str, Step] = {}
        self.warnings: list[str] = []
        self._begun = 0

    def apply(self, status: dict[str, Any]) -> Iterator[tuple[str, Step | None, str]]:
        """(what, step, text): started; line and transfer with their text; ended; warning."""
        for vertex in status.get("vertexes", ()):
            yield from self._vertex(vertex)
        for one in status.get("statuses", ()):
            yield from self._transfer(one)
        for log in status.get("logs", ()):
            yield from self._log(log)
        for warning in status.get("warnings", ()):
            text = decoded(warning["short"])
            self.warnings.append(text)
            yield "warning", None, text

    def failure(self) -> Step | None:
        """The step that ended the build."""
        return next((step for step in self.all.values() if step.failed), None)

    def _step(self, digest: str, name: str = "") -> Step:
        step = self.all.get(digest)
        if step is None:
            step = self.all[digest] = Step(name)
        return step

    def _vertex(self, vertex: dict[str, Any]) -> Iterator[tuple[str, Step | None, str]]:
        step = self._step(vertex["digest"], vertex["name"])
        step.name = vertex["name"]
        if "started" not in vertex:
            return
        if not step.started:
            step.started = seconds(vertex["started"])
            self._begun += 1
            step.number = self._begun
            yield "started", step, ""
        if "completed" not in vertex or step.completed:
            return
        if step.rest:
            yield self._line(step, seconds(vertex["completed"]), step.rest)
            step.rest = ""
        step.completed = seconds(vertex["completed"])
        step.cached = bool(vertex.get("cached"))
        step.error = vertex.get("error", "")
        yield "ended", step, ""

    def _transfer(self, said: dict[str, Any]) -> Iterator[tuple[str, Step | None, str]]:
        step = self._step(said["vertex"])
        transfer = step.transfers.setdefault(said["id"], Transfer(said.get("name") or said["id"]))
        transfer.current, transfer.total = said.get("current") or 0, said.get("total") or 0
        if said.get("started"):
            transfer.started = seconds(said["started"])
        if said.get("completed") and not transfer.completed:
            transfer.completed = seconds(said["completed"])
            took = transfer.completed - (transfer.started or transfer.completed)
            yield (
                "transfer",
                step,
                " ".join(filter(None, (transfer.name, transfer.amount, f"{took:.1f}s done"))),
            )

    def _log(self, log: dict[str, Any]) -> Iterator[tuple[str, Step | None, str]]:
        step = self._step(log["vertex"])
        at = seconds(log["timestamp"])
        *lines, step.rest = (step.rest + decoded(log["data"])).split("\n")
        for line in lines:
            yield self._line(step, at, line.rstrip("\r"))
        while len(step.rest) > LINE_MAX:
            yield self._line(step, at, step.rest[:LINE_MAX])
            step.rest = step.rest[LINE_MAX:]

    def _line(self, step: Step, at: float, line: str) -> tuple[str, Step | None, str]:
        since = max(0.0, at - (step.started or at))
        step.lines.append((since, line[:LINE_MAX]))
        del step.lines[:-LOG_LINES]
        return "line", step, f"{since:.3f} {line}"


def decoded(text: str) -> str:
    import binascii

    return binascii.a2b_base64(text).decode("utf-8", "replace")


def seconds(text: str) -> float:
    """An instant as seconds, with its fraction."""
    whole, nanoseconds = human.parse_time(text)
    return whole + nanoseconds / 1e9

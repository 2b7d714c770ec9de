"""A build's events as data, for clients that show steps at the same time: `POST /build?progress=status`.

    {"id": "onggi.status", "aux": {"vertexes": [...], "statuses": [...], "logs": [...], "warnings": [...]}}
    {"id": "onggi.failed", "aux": {"ID": "3f2a...", "Held": true, "Excerpt": "..."}}    a step that is kept
    {"id": "onggi.source", "aux": {"excerpt": "..."}}        the lines of the Dockerfile that failed
    {"aux": {"ID": "sha256:...", "Epoch": 1700000000}}       at the end; with SOURCE_DATE_EPOCH

An `aux` of a status is a SolveStatus as BuildKit's clients print it (`--progress=rawjson`). The parameter is
Onggi's own; other engines do not know it and answer with the classic words.
"""

from __future__ import annotations

import base64
from typing import Any

from onggi.builder.classic.lines import Failed, Lines
from onggi.builder.graph import Plan, Warning_
from onggi.builder.progress import Event, Output, Transfer, VertexState, Warned
from onggi.builder.solver.job import Job
from onggi.spec import timestamp

STATUS, SOURCE, KEPT = "onggi.status", "onggi.source", "onggi.failed"


class StatusTeller(Lines):
    """Takes events (progress.Progress), gives lines."""

    def begin(self, job: Job, plan: Plan) -> None:
        for warning in plan.warnings:
            self._status("warnings", _warning(warning, ""))

    def __call__(self, event: Event) -> None:
        match event:
            case VertexState():
                self._status("vertexes", _vertex(event))
            case Transfer():
                self._status("statuses", _transfer(event))
            case Output():
                self._status("logs", _log(event))
            case Warned():
                self._status("warnings", _warning(event.warning, event.vertex))

    def _status(self, kind: str, item: dict[str, Any]) -> None:
        self.line({"id": STATUS, "aux": {kind: [item]}})

    def kept(self, record_id: str, *, held: bool = False, excerpt: str = "") -> None:
        """A failed step's id; `held`: the build waits for a shell in it."""
        self.line({"id": KEPT, "aux": {"ID": record_id, "Held": held, "Excerpt": excerpt}})

    def fail(self, failed: Failed) -> None:
        if failed.excerpt:
            self.line({"id": SOURCE, "aux": {"excerpt": failed.excerpt}})
        message = f"failed to solve: {failed.message}"
        detail: dict[str, Any] = {"message": message}
        if failed.exit_code:
            detail["code"] = failed.exit_code
        self.line({"errorDetail": detail, "error": message})

    def done(self, image_id: str, names: list[str], epoch: int | None) -> None:
        self.line({"aux": {"ID": image_id} | ({} if epoch is None else {"Epoch": epoch})})


def _times(item: dict[str, Any], started: int | None, completed: int | None) -> dict[str, Any]:
    if started is not None:
        item["started"] = timestamp.text(started)
    if completed is not None:
        item["completed"] = timestamp.text(completed)
    return item


def _vertex(event: VertexState) -> dict[str, Any]:
    vertex = event.vertex
    item: dict[str, Any] = {"digest": vertex.digest, "name": vertex.meta.name}
    inputs = [ref.vertex for ref in vertex.inputs if ref is not None]
    if inputs:
        item["inputs"] = inputs
    if event.cached:
        item["cached"] = True
    if event.error:
        item["error"] = event.error
    return _times(item, event.started, event.completed)


def _transfer(event: Transfer) -> dict[str, Any]:
    item: dict[str, Any] = {"id": event.id, "vertex": event.vertex, "name": event.name}
    item |= {"current": event.current, "total": event.total, "timestamp": timestamp.text(event.at)}
    return _times(item, event.started, event.completed)


def _log(event: Output) -> dict[str, Any]:
    data = base64.b64encode(event.data).decode()
    return {
        "vertex": event.vertex,
        "stream": event.stream,
        "data": data,
        "timestamp": timestamp.text(event.at),
    }


def _warning(warning: Warning_, vertex: str) -> dict[str, Any]:
    short = f"{warning.rule}: {warning.detail} (line {warning.location.start})"
    return {
        "vertex": vertex,
        "level": 1,
        "short": base64.b64encode(short.encode()).decode(),
        "detail": [base64.b64encode(warning.description.encode()).decode()],
        "url": warning.url,
    }

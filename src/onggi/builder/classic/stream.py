r"""A build's events as the classic door tells them: one JSON object for each line, steps in order.

    {"stream": "Step 2/3 : RUN make\n"}
    {"stream": " ---> Running in 0c1f...\n"}         or  " ---> Using cache\n"
    {"stream": "..."}                                what the process writes; standard error in red
    {"stream": " ---> 5e8d...\n"}                    the image, if the Dockerfile ended here
    {"aux": {"ID": "sha256:..."}}                    at the end

The words are dockerd's, which clients match on. Steps run at the same time, and are told one after the other:
what a later one writes meanwhile waits here, up to a bound. A quiet build says nothing but the image, or, as
dockerd, all of it when it fails: the newest 2 MiB.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from onggi.builder.classic.lines import Failed, Lines
from onggi.builder.graph import Exec, Plan, Step
from onggi.builder.outputs import image as outputs
from onggi.builder.progress import Began, Event, Output
from onggi.builder.solver.job import Job
from onggi.builder.solver.results import Stack
from onggi.spec.image import RootFS

WAITING_MAX = 2 << 20  # bytes of a step that is not told yet
RED, PLAIN = "\x1b[91m", "\x1b[0m"


class Teller(Lines):
    """Takes events (progress.Progress), gives lines. For the event loop's thread."""

    def __init__(self, *, quiet: bool, remove: bool) -> None:
        super().__init__()
        self._quiet = quiet
        self._remove = remove
        self._working: set[str] = set()
        self._waiting: dict[str, list[Output]] = {}
        self._sizes: dict[str, int] = {}
        self._steps: list[Step] = []
        self._job: Job | None = None
        self._plan: Plan | None = None
        self._untold: deque[str] = deque()  # of a quiet build
        self._untold_size = 0
        self._at = 0  # the step that is told now
        self._begun = False
        self._running = False

    def stream(self, text: str) -> None:
        if not self._quiet:
            self.line({"stream": text})
            return
        self._untold.append(text)
        self._untold_size += len(text)
        while self._untold_size > WAITING_MAX and len(self._untold) > 1:
            self._untold_size -= len(self._untold.popleft())

    def fail(self, failed: Failed) -> None:
        """The last line, after what a quiet build has not told."""
        while self._untold:
            self.line({"stream": self._untold.popleft()})
        message = failed.message
        if failed.process:
            message = f"The command '{failed.process}' returned a non-zero code: {failed.exit_code}"
        detail: dict[str, Any] = {"message": message}
        if failed.exit_code:
            detail["code"] = failed.exit_code
        self.line({"errorDetail": detail, "error": message})

    def done(self, image_id: str, names: list[str], epoch: int | None) -> None:
        """The last lines of a build that succeeded; `names` are familiar ones. dockerd says no epoch."""
        if self._quiet:
            self.line({"stream": image_id + "\n"})
            return
        self.line({"aux": {"ID": image_id}})
        self.stream(f"Successfully built {image_id[7:19]}\n")
        for name in names:
            self.stream(f"Successfully tagged {name}\n")

    # -- steps

    def begin(self, job: Job, plan: Plan) -> None:
        """From now on events are of this plan's vertices."""
        self._job, self._plan, self._steps = job, plan, list(plan.steps)
        self._advance()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Began):
            self._working.add(event.vertex)
        elif isinstance(event, Output):
            self._output(event)
        self._advance()

    def _output(self, event: Output) -> None:
        if self._is_current(event.vertex):
            self._start_running()
            self._write(event)
            return
        size = self._sizes.get(event.vertex, 0)
        if size >= WAITING_MAX:
            return
        data = event.data[: WAITING_MAX - size]
        if len(data) < len(event.data):
            data += b"\n[output clipped, log limit 2MiB reached]\n"
        self._sizes[event.vertex] = size + len(event.data)
        self._waiting.setdefault(event.vertex, []).append(msgspec.structs.replace(event, data=data))

    def _is_current(self, vertex: str) -> bool:
        return self._begun and self._at < len(self._steps) and vertex in self._steps[self._at].vertices

    def _write(self, event: Output) -> None:
        text = event.data.decode("utf-8", "replace")
        self.stream(f"{RED}{text}{PLAIN}" if event.stream == 2 else text)

    def _advance(self) -> None:
        """Tell what can be told, up to the first step that still works."""
        while self._at < len(self._steps):
            step = self._steps[self._at]
            if not self._begun:
                self._begun, self._running = True, False
                self.stream(f"Step {step.number}/{step.total} : {step.text}\n")
            self._start_running()
            for digest in step.vertices:
                for event in self._waiting.pop(digest, ()):
                    self._write(event)
            if not self._is_done(step):
                return
            self._finish(step)
            self._at += 1
            self._begun = False

    def _is_done(self, step: Step) -> bool:
        assert self._job is not None
        needed = list(step.vertices)
        if step.result is not None:
            needed.append(step.result.vertex)
        return all(digest in self._job.made for digest in needed)

    def _start_running(self) -> None:
        """A process has begun: dockerd names its container."""
        step = self._steps[self._at]
        vertex = self._process(step)
        if self._running or vertex not in self._working:
            return
        self._running = True
        self.stream(f" ---> Running in {vertex[7:19]}\n")

    def _process(self, step: Step) -> str:
        assert self._plan is not None
        for digest in step.vertices:
            if isinstance(self._plan.graph.vertices[digest].op, Exec):
                return digest
        return ""

    def _finish(self, step: Step) -> None:
        assert self._job is not None
        if self._running and self._remove:
            self.stream(f"Removing intermediate container {self._process(step)[7:19]}\n")
        made = self._job.made[step.result.vertex] if step.result is not None else None
        if made is not None and made.cached and step.vertices and not step.text.upper().startswith("FROM"):
            self.stream(" ---> Using cache\n")
        self.stream(f" ---> {self._id(step)[7:19]}\n")

    def _id(self, step: Step) -> str:
        """The id of an image that ended here; no such image is kept (decision 0012)."""
        assert self._job is not None
        layers: list[str] = []
        if step.result is not None:
            tree = self._job.made[step.result.vertex].output(step.result.output)
            layers = [layer.diff_id for layer in tree.layers] if isinstance(tree, Stack) else []
        return outputs.image_id(msgspec.structs.replace(step.image, rootfs=RootFS(diff_ids=layers)))

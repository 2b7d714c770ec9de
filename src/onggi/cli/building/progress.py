"""What a build tells, as the user wants it: auto, tty, plain, rawjson, quiet.

    with Shown(kind("auto")) as shown:
        body = shown.sending(body)                  what is sent is counted
        built = shown.follow(messages)              to the end; a failure is shown, then raised

Onggi answers with data (`progress=status`): steps run at the same time, and are shown as BuildKit's clients
show them. Another engine answers with the classic words, which are printed as they come.
`auto` is tty where standard error is a terminal, else plain; BUILDKIT_PROGRESS says what auto is.
"""

from __future__ import annotations

import os

from onggi.cli.building.steps import Step, Steps
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Protocol

    class Display(Protocol):
        """Shows a build while it runs. `end` leaves the terminal as it was; it may be called twice."""

        steps: Steps

        def begin(self) -> None: ...
        def sent(self, count: int) -> None: ...
        def status(self, status: dict[str, Any]) -> None: ...
        def text(self, text: str) -> None: ...
        def end(self, *, failed: bool) -> None: ...


KINDS = ("auto", "plain", "tty", "quiet", "rawjson")
FLAG = (
    "progress",
    "",
    "string",
    "auto",
    'How to show progress ("auto", "plain", "tty", "quiet", "rawjson")',
)
STATUS, SOURCE, KEPT = "onggi.status", "onggi.source", "onggi.failed"


def kind(wanted: str) -> str:
    """Which display it is. Raises CommandError."""
    if wanted == "auto":
        wanted = os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if wanted not in KINDS:
        raise CommandError(f'invalid progress "{wanted}": one of {", ".join(KINDS)}')
    if wanted == "auto":
        return "tty" if os.isatty(2) and os.environ.get("TERM") != "dumb" else "plain"
    if wanted == "tty" and not os.isatty(2):
        raise CommandError("--progress=tty: standard error is not a terminal")
    return wanted


class Built:
    """How a build ended: the image's id (empty where the engine did not say), its SOURCE_DATE_EPOCH."""

    def __init__(self, image: str = "", epoch: int | None = None) -> None:
        self.image = image
        self.epoch = epoch


class Quiet:
    """Nothing but what goes wrong, with the last words of the step that fails."""

    def __init__(self) -> None:
        self.steps = Steps()

    def begin(self) -> None:
        """No progress is wanted."""

    def sent(self, count: int) -> None:
        """No progress is wanted."""

    def status(self, status: dict[str, Any]) -> None:
        for _ in self.steps.apply(status):
            pass  # remembered, and not shown

    def text(self, text: str) -> None:
        _err(text)  # of a classic builder: why it fails

    def end(self, *, failed: bool) -> None:
        """Nothing was shown."""


class RawJson(Quiet):
    """One SolveStatus for each line, on standard error as BuildKit's clients do it."""

    def status(self, status: dict[str, Any]) -> None:
        from onggi import jsontext

        os.write(2, (jsontext.dumps(status) + "\n").encode("utf-8", "surrogateescape"))

    def text(self, text: str) -> None:
        """Words are no JSON."""


def _display(kind: str) -> Display:
    if kind == "tty":
        from onggi.cli.building.terminal import Terminal

        return Terminal()
    if kind == "plain":
        from onggi.cli.building.plain import Plain

        return Plain()
    return RawJson() if kind == "rawjson" else Quiet()


class Shown:
    """A build while it is shown; a context manager."""

    def __init__(self, kind: str) -> None:
        self._display = _display(kind)
        self._built = Built()
        self._excerpt = ""
        self._told = False
        self.kept: dict[str, Any] = {}  # the step that failed, where the engine keeps it

    def __enter__(self) -> Shown:
        self._display.begin()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._display.end(failed=kind is not None)

    def sending(self, body: Iterable[bytes] | bytes) -> Iterable[bytes] | bytes:
        """The context, counted on its way."""
        return body if isinstance(body, bytes) else self._counted(body)

    def _counted(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for piece in body:
            self._display.sent(len(piece))
            yield piece

    def follow(
        self,
        messages: Iterable[dict[str, Any]],
        on_failed_step: Callable[[dict[str, Any]], None] | None = None,
    ) -> Built:
        """To the end. `on_failed_step` is called while the engine holds a step that failed, with what it says
        of it. Raises CommandError.
        """
        for message in messages:
            if message.get("error") or message.get("errorDetail"):
                self._fail(message)
            elif message.get("id") == KEPT:
                self.kept = message["aux"]
                self._excerpt = self.kept["Excerpt"]
                if on_failed_step is not None and self.kept.get("Held"):
                    self._tell_failure()
                    on_failed_step(self.kept)
            else:
                self._take(message)
        return self._built

    def _take(self, message: dict[str, Any]) -> None:
        aux: Any = message.get("aux")
        if message.get("id") == STATUS:
            self._display.status(aux)
        elif message.get("id") == SOURCE:
            self._excerpt = aux["excerpt"]
        elif isinstance(aux, dict) and aux.get("ID"):
            self._built = Built(aux["ID"], aux.get("Epoch"))
        elif "stream" in message:
            text = message["stream"]
            if text.startswith("sha256:"):  # the classic words of a quiet build
                self._built = Built(text.strip())
            else:
                self._display.text(text)
        elif message.get("status"):
            self._display.text(f"{message['status']}\n")

    # -- what went wrong

    def _fail(self, message: dict[str, Any]) -> None:
        detail = message.get("errorDetail") or {"message": message["error"]}
        self._tell_failure()
        if self.kept:
            id = self.kept["ID"]
            _err(f"The failed step is kept: onggi builder shell {id}, or onggi builder rerun {id}\n")
        text = _shown(str(detail.get("message") or message.get("error")))
        raise CommandError(
            text if text.startswith("The command") else f"ERROR: {text}", detail.get("code") or 1
        )

    def _tell_failure(self) -> None:
        """Once: what the step wrote, and the lines of the Dockerfile that are meant."""
        self._display.end(failed=True)
        if self._told:
            return
        self._told = True
        step = self._display.steps.failure()
        if step is not None:
            _err("\n".join(["------", *_last_words(step), "------"]) + "\n")
        if self._excerpt:
            _err(self._excerpt + "\n")


def _last_words(step: Step) -> list[str]:
    return [f" > {step.name}:", *(f"{since:.3f} {line}" for since, line in step.lines)]


def _shown(text: str) -> str:
    """For standard error: a terminal gets no control characters."""
    if not os.isatty(2):
        return text
    from onggi.cli.building import safe

    return safe.lines(text)


def _err(text: str) -> None:
    os.write(2, _shown(text).encode("utf-8", "surrogateescape"))

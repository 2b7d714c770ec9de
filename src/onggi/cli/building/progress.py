"""What a build tells, as the user wants it: plain (each step a numbered block), rawjson, quiet.

Onggi answers with data (`progress=status`): steps run at the same time, and each line begins with its step's
number, as BuildKit's clients print it. Another engine answers with the classic words, which are printed
as they come.
"""

from __future__ import annotations

import os
import sys

from onggi.cli import human
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

STATUS, SOURCE = "onggi.status", "onggi.source"
LOG_LINES = 20  # of a step that failed, shown again at the end


def show(messages: Iterable[dict[str, Any]], kind: str) -> str:
    """Print to the end; the image's id. `kind`: plain, rawjson, quiet. Raises CommandError."""
    printer = {"plain": Plain, "rawjson": RawJson, "quiet": Quiet}[kind]()
    image = ""
    excerpt = ""
    for message in messages:
        if message.get("error") or message.get("errorDetail"):
            detail = message.get("errorDetail") or {"message": message["error"]}
            printer.failed(excerpt)
            code = detail.get("code") or 1
            text = str(detail.get("message") or message.get("error"))
            raise CommandError(text if text.startswith("The command") else f"ERROR: {text}", code)
        aux: Any = message.get("aux")
        if message.get("id") == STATUS:
            printer.status(aux)
        elif message.get("id") == SOURCE:
            excerpt = aux["excerpt"]
        elif isinstance(aux, dict) and aux.get("ID"):
            image = aux["ID"]
        elif "stream" in message:
            text = message["stream"]
            if text.startswith("sha256:"):  # the classic words of a quiet build
                image = text.strip()
            else:
                printer.text(text)
        elif message.get("status"):
            printer.text(f"{message['status']}\n")
    return image


class Quiet:
    """Nothing but what goes wrong."""

    def status(self, status: dict[str, Any]) -> None:
        """No progress is wanted."""

    def text(self, text: str) -> None:
        """No words are wanted."""

    def failed(self, excerpt: str) -> None:
        if excerpt:
            sys.stderr.write(excerpt + "\n")


class RawJson(Quiet):
    """One SolveStatus for each line, on standard error as BuildKit's clients do it."""

    def status(self, status: dict[str, Any]) -> None:
        from onggi import jsontext

        _err(jsontext.dumps(status) + "\n")


class Plain(Quiet):
    """Steps by number; a line when one begins, for each line that it writes, and when it ends."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._started: dict[str, float] = {}
        self._rest: dict[str, str] = {}
        self._logs: dict[str, list[str]] = {}
        self._done: set[str] = set()
        self._failed = ""
        self._last = 0

    def text(self, text: str) -> None:
        os.write(1, text.encode())

    def status(self, status: dict[str, Any]) -> None:
        for vertex in status.get("vertexes", ()):
            self._vertex(vertex)
        for log in status.get("logs", ()):
            self._log(log)
        for warning in status.get("warnings", ()):
            self._line(0, f"WARNING: {_decoded(warning['short'])}")

    def _number(self, digest: str) -> int:
        return self._numbers.setdefault(digest, len(self._numbers) + 1)

    def _vertex(self, vertex: dict[str, Any]) -> None:
        digest = vertex["digest"]
        self._names[digest] = vertex["name"]
        if "started" not in vertex:
            return
        number = self._number(digest)
        if digest not in self._started:
            self._started[digest] = _seconds(vertex["started"])
            self._line(number, vertex["name"])
        if "completed" not in vertex or digest in self._done:
            return
        self._done.add(digest)
        if self._rest.get(digest):
            self._log_line(digest, self._rest.pop(digest), _seconds(vertex["completed"]))
        took = _seconds(vertex["completed"]) - _seconds(vertex["started"])
        if vertex.get("error"):
            cancelled = vertex["error"].startswith("context canceled")
            self._line(number, "CANCELED" if cancelled else f"ERROR: {vertex['error']}")
            self._failed = self._failed or ("" if cancelled else digest)
        else:
            self._line(number, "CACHED" if vertex.get("cached") else f"DONE {took:.1f}s")

    def _log(self, log: dict[str, Any]) -> None:
        digest = log["vertex"]
        *lines, rest = (self._rest.pop(digest, "") + _decoded(log["data"])).split("\n")
        if rest:
            self._rest[digest] = rest
        for line in lines:
            self._log_line(digest, line, _seconds(log["timestamp"]))

    def _log_line(self, digest: str, line: str, at: float) -> None:
        line = line.rstrip("\r")
        kept = self._logs.setdefault(digest, [])
        kept.append(line)
        del kept[:-LOG_LINES]
        self._line(self._number(digest), f"{max(0.0, at - self._started.get(digest, at)):.3f} {line}")

    def _line(self, number: int, text: str) -> None:
        if self._last and number != self._last:
            _err("\n")
        self._last = number
        _err(f"#{number} {text}\n")

    def failed(self, excerpt: str) -> None:
        if self._failed:
            lines = [
                "------",
                f" > {self._names[self._failed]}:",
                *self._logs.get(self._failed, ()),
                "------",
            ]
            _err("\n".join(lines) + "\n")
        super().failed(excerpt)


def _err(text: str) -> None:
    os.write(2, text.encode("utf-8", "surrogateescape"))


def _decoded(text: str) -> str:
    import binascii

    return binascii.a2b_base64(text).decode("utf-8", "replace")


def _seconds(text: str) -> float:
    """An instant as seconds, with its fraction."""
    seconds, nanoseconds = human.parse_time(text)
    return seconds + nanoseconds / 1e9

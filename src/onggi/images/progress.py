"""Lines of progress, as Docker's clients show them: one JSON object for each."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

INTERVAL_S = 0.1


class Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes so far and in all."""

    current: int = 0
    total: int = 0


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    message: str = ""


class Pushed(msgspec.Struct, frozen=True, rename="pascal"):
    """What a push made, for clients that read it."""

    tag: str
    digest: str
    size: int


class Told(msgspec.Struct, frozen=True, rename="camel"):
    """How a descriptor is told."""

    media_type: str
    digest: str
    size: int


class PushedInstead(msgspec.Struct, frozen=True, rename="camel"):
    """Not the index that a name stands for was pushed, but the one manifest of it that is here."""

    original_index: Told
    selected_manifest: Told
    manifest_pushed_instead_of_index: bool = True


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One line; what is empty is left out."""

    stream: str = ""
    status: str = ""
    id: str = ""
    progress: str = ""
    progress_detail: Detail | None = None
    error: str = ""
    error_detail: ErrorDetail | None = None
    aux: Pushed | None = None
    instead: PushedInstead | None = None  # as aux, too

    def encode(self) -> bytes:
        if self.instead is None:
            return msgspec.json.encode(self) + b"\r\n"
        return msgspec.json.encode({"aux": self.instead}) + b"\r\n"


def failure(message: str) -> Progress:
    """The last line of a stream that failed after its head was sent."""
    return Progress(error=message, error_detail=ErrorDetail(message))


def layer_progress(report: Callable[[Progress], None]) -> Callable[[str, int, int], None]:
    """Turn bytes of members into lines, not more than ten a second for each member and one at its end."""
    last: dict[str, float] = {}

    def hear(name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if total < 1 << 16 or (done < total and now - last.get(name, 0.0) < INTERVAL_S):
            return
        last[name] = now
        short = name.removeprefix("blobs/sha256/")[:12]
        report(
            Progress(
                status="Loading layer",
                id=short,
                progress=bar(done, total),
                progress_detail=Detail(done, total),
            )
        )

    return hear


def bar(done: int, total: int) -> str:
    """What clients without a terminal width of their own show."""
    filled = 50 if done >= total else done * 50 // max(total, 1)
    drawn = "=" * filled + (">" if filled < 50 else "") + " " * max(0, 49 - filled)
    return f"[{drawn}]  {amount(done)}/{amount(total)}"


def amount(count: int) -> str:
    """Bytes in decimal units with four digits at most, as Docker prints them."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.4g}{units[0]}"

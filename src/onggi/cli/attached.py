"""One attached session with a container or an exec: terminal, signals, resizing, pump.

Used by run, start -a, attach and exec. Owns the terminal's mode while it lasts.
"""

from __future__ import annotations

import os

from onggi.cli import streams
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from onggi.cli.engine import Engine


if not TYPE_CHECKING:
    import _signal as signal  # signal itself imports enum, 6 ms


class Attached:
    """`target` is `containers/ID` or `exec/ID`, for resizing; `kill` gets the name of a signal to send on."""

    def __init__(self, engine: Engine, target: str, *, tty: bool, stdin: bool, keys: bytes) -> None:
        self._engine = engine
        self._target = target
        self._tty = tty
        self._stdin = stdin
        self._keys = keys
        self._kill: Callable[[str], None] | None = None
        self._dirty_size = False
        self.detached = False

    def run(
        self,
        sock: Any,
        early: bytes,
        *,
        outputs: tuple[int, int] = (1, 2),
        kill: Callable[[str], None] | None = None,
        started: Callable[[], None] | None = None,
    ) -> None:
        """Pump to the end of the stream. `started` is called with the terminal ready: it starts the
        process.
        """
        self._kill = kill
        wanted = streams.proxied_signals() if kill else set()
        if self._tty:
            wanted.add(signal.SIGWINCH)
        with streams.Signals(wanted) as signals, streams.Terminal(0 if self._tty and self._stdin else -1):
            if started is not None:
                started()
            if self._tty:
                self.resize()
            pump = streams.Pump(
                sock, early, raw=self._tty, stdin=self._stdin, keys=self._keys,
                out_fd=outputs[0], err_fd=outputs[1], signals=signals, on_signal=self._on_signal,
            )  # fmt: skip
            pump.run()
            self.detached = pump.detached

    def resize(self) -> None:
        """Tell the engine the terminal's size; one that is gone already does not matter."""
        size = streams.terminal_size()
        if size is None:
            return
        try:
            self._engine.post(f"/{self._target}/resize", h=size[0], w=size[1])
        except CommandError:
            return  # it exited between the signal and the request

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self.resize()
        elif self._kill is not None:
            self._kill(signal_name(number))


def signal_name(number: int) -> str:
    """The number, for engines know more names than any table here."""
    return str(number)


def killer(engine: Engine, container: str) -> Callable[[str], None]:
    """Sends a signal on to the container; one that has exited does not matter."""

    def kill(name: str) -> None:
        try:
            engine.post(f"/containers/{container}/kill", signal=name)
        except CommandError as error:
            if os.environ.get("ONGGI_DEBUG"):
                os.write(2, f"signal {name}: {error.message}\n".encode())

    return kill

"""An exec: a process inside a running container, with streams of its own.

With a client its output goes there; with `capture` its first bytes are kept for the answer (health checks);
with neither it goes nowhere. `timeout` kills it. Its end is told when its output is drained.
"""

from __future__ import annotations

import os
import time

from onggi.kernel import processes
from onggi.spawn.attach import Client
from onggi.spawn.launcher import Order
from onggi.spawn.loop import IN
from onggi.spawn.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from onggi.spawn.launcher import Launcher
    from onggi.spawn.plan import StepFailed
    from onggi.spawn.shim import Shim
else:
    import _signal as signal  # the signal module imports enum, 6 ms


class Exec:
    """Owns the process's pidfd and streams; is in `shim.execs` from start to end."""

    __slots__ = (
        "_exit_status", "_finished_at", "_on_start", "_order", "_shim", "_timed_out", "_timeout",
        "_timer", "failure", "id", "note", "pid", "pidfd", "started_at", "streams",
    )  # fmt: skip

    def __init__(self, shim: Shim, request: Any, number: int, plan_fd: int, client_fd: int) -> None:
        self._shim = shim
        self.id: str = request["exec_id"]
        self.note: bytes = request["note"]
        self.pid = 0
        self.pidfd = -1
        self.started_at = 0
        self.failure: StepFailed | None = None
        self._exit_status = 0
        self._finished_at = 0
        self._timed_out = False
        self._timer: tuple[float, Callable[[], None]] | None = None
        self._timeout: float = request["timeout"]
        self.streams = Streams(shim.loop, on_client_end=shim.client_ended, on_end=self._drained)
        if client_fd >= 0:
            self.streams.attach(Client(shim.loop, client_fd, number, request["attach"], self.streams))
        # An exec has one client, and his end of file is its own.
        self.streams.expect(terminal=request["terminal"], stdin_once=True, capture=request["capture"])
        self._order = Order(
            request,
            plan_fd,
            output=client_fd >= 0 or request["capture"] > 0,
            init_pidfd=shim.pidfd,
        )

    def start(self, on_start: Callable[[], None]) -> None:
        """Begin to start the process; `on_start` tells that it runs, or that it failed. Raises OSError.

        Where it failed, the client's connection is given back, unused.
        """
        self._on_start = on_start
        try:
            self._shim.launch(self._order, self._launched)
        except OSError:
            self.streams.abandon()
            raise
        self._shim.execs[self.id] = self

    def _launched(self, launcher: Launcher) -> None:
        self.failure = launcher.failure
        if self.failure is not None:
            del self._shim.execs[self.id]
            self.streams.abandon()
            self._on_start()
            return
        self.started_at = time.time_ns()
        self.pid, self.pidfd = launcher.process, launcher.pidfd
        self._shim.loop.watch(self.pidfd, IN, self._ended)
        if self._timeout:
            self._timer = self._shim.loop.call_later(self._timeout, self._time_out)
        self._on_start()
        self.streams.running(launcher.ends)
        if self._shim.status != "running":
            self.kill()  # it came too late to be killed with the others

    def facts(self) -> dict[str, Any]:
        """What a daemon that comes later is told of it."""
        return {"exec_id": self.id, "note": self.note, "pid": self.pid, "started_at": self.started_at}

    def kill(self) -> None:
        """Kill the process; its end is seen as any other."""
        if self.pidfd < 0:
            return
        try:
            processes.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return  # ended already

    def _time_out(self) -> None:
        self._timer = None
        self._timed_out = True
        self.kill()

    def _ended(self, events: int) -> None:
        status = processes.wait_pidfd(self.pidfd, block=False)
        if status is None:
            return
        self._exit_status, self._finished_at = status, time.time_ns()
        self._shim.loop.forget(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = -1
        if self._timer is not None:
            self._shim.loop.cancel(self._timer)
        self.streams.process_ended()

    def _drained(self) -> None:
        status = self._exit_status
        self._shim.exec_ended(self, self.result(status if status >= 0 else 128 - status))

    def result(self, exit_code: int) -> dict[str, Any]:
        """What is told of the end."""
        return {
            "exec_id": self.id,
            "exit_code": exit_code,
            "output": bytes(self.streams.captured),
            "timed_out": self._timed_out,
            "finished_at": self._finished_at,
        }

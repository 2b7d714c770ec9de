"""Exec instances: in memory only, as Docker's are; they end with their container's run.

A finished instance is kept for five minutes, so that its exit code can still be asked for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from onggi.engine import clock
from onggi.errors import NoSuchExec
from onggi.wire.containers import ExecCreateRequest

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.shims import ExecExit, Shim

KEPT_NS = 5 * 60 * clock.SECOND


class Exec:
    """One exec instance; `exit_code` is None until it has ended."""

    __slots__ = (
        "begun", "container", "ended_at", "exit_code", "exited", "id", "pid", "request", "running", "shim",
        "started", "task",
    )  # fmt: skip

    def __init__(self, exec_id: str, container: Container, request: ExecCreateRequest) -> None:
        self.id = exec_id
        self.container = container
        self.request = request
        self.shim: Shim | None = None  # of the run in which it was started
        self.started = False
        self.begun = asyncio.Event()  # it runs, or it is known that it will not
        self.running = False
        self.pid = 0
        self.exit_code: int | None = None
        self.ended_at = 0
        self.exited: asyncio.Future[ExecExit] | None = None  # what the shim tells of its end
        self.task: asyncio.Task[None] | None = None  # takes note of it

    def failed(self, exit_code: int) -> None:
        """It was not started, and will not be."""
        self.ended_at, self.exit_code = clock.now(), exit_code
        self.begun.set()


class Execs:
    """Every exec instance, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Exec] = {}

    def add(self, instance: Exec) -> None:
        self._forget_old()
        self._by_id[instance.id] = instance
        instance.container.execs[instance.id] = instance

    def get(self, exec_id: str) -> Exec:
        """By full id. Raises NoSuchExec."""
        found = self._by_id.get(exec_id)
        if found is None:
            raise NoSuchExec(exec_id)
        return found

    def forget(self, container: Container) -> None:
        """Drop every instance of a container that goes."""
        for exec_id in container.execs:
            self._by_id.pop(exec_id, None)
        container.execs.clear()

    def _forget_old(self) -> None:
        limit = clock.now() - KEPT_NS
        old = [e for e in self._by_id.values() if e.ended_at and e.ended_at < limit]
        for instance in old:
            del self._by_id[instance.id]
            instance.container.execs.pop(instance.id, None)

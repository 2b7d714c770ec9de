"""Launching in a process of its own: what a start costs in memory goes with it, and the shim never waits.

    shim --fork--> launcher --clone--> init (or an exec's process)
         <-- plan, started + pidfd, console, oom descriptors, or failed --
                   ends; the shim, a subreaper (prctl(2)), inherits the process, and reaps it

The plan comes as a file (a memfd of the daemon's), so that its bytes never enter the shim. A launcher that is
killed half-way leaves a process that is not known by name yet: the shim kills the children that it does not
know, and runs the undo steps, which the launcher named before anything was made.

Messages are marshalled tuples in packets, as in state.py:
    ("plan", undo, clone)                        the plan has been read, nothing has been made yet
    ("started", pid, watched, urgent)            descriptors: pidfd, with `watched` the two of an OomWatch,
                                                 and the console's where there is one
    ("failed", step, argument, errno, text)
"""

from __future__ import annotations

import gc
import marshal
import os

from onggi.kernel import files, processes
from onggi.spawn import console, join, launch, oom, record
from onggi.spawn.loop import IN
from onggi.spawn.plan import StepFailed
from onggi.spawn.state import channel, failure, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    import signal
    from collections.abc import Callable
    from typing import Any

    from onggi.spawn.loop import Loop
    from onggi.spawn.plan import Launched, Plan
else:
    import _signal as signal  # the signal module imports enum, 6 ms


class Launcher:
    """One launch, seen from the shim. Owns the launcher process and the socket to it.

    Calls on_end(launcher) once, when the launcher has been reaped: then `failure` says what failed, or else
    `process` is our child, and the descriptors are the caller's. Raises OSError from the constructor.
    """

    __slots__ = (
        "_loop", "_on_end", "_sock", "clone", "console_fd", "failure", "oom", "pid", "pidfd", "process",
        "undo",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        order: Order,
        on_end: Callable[[Launcher], None],
    ) -> None:
        self._loop = loop
        self._on_end = on_end
        self.failure: StepFailed | None = StepFailed("launch", "", 0, "launch: the launcher was killed")
        self.process = 0
        self.pidfd = -1
        self.console_fd: int | None = None
        self.oom: oom.OomWatch | None = None
        self.undo: list[Any] = []  # what a launcher that was killed had begun
        self.clone = 0
        self._sock, theirs = channel()
        try:
            self.pid = os.fork()
        except OSError:
            self._sock.close()
            theirs.close()
            raise
        if self.pid == 0:
            order.execute(theirs)
        theirs.close()
        loop.watch(self._sock.fileno(), IN, self._told)

    def kill(self) -> None:
        """End a launch that nobody waits for any more; it is then reported as failed."""
        os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own

    def _told(self, events: int) -> None:
        message, fds = receive(self._sock)
        if message is not None and message[0] == "plan":
            _, self.undo, self.clone = message
            return
        if message is not None and message[0] == "started":
            _, self.process, watched, urgent = message
            self.pidfd = fds.pop(0)
            if watched:
                self.oom = oom.OomWatch(fds.pop(0), fds.pop(0), urgent=urgent)
            self.console_fd = fds.pop() if fds else None
            self.failure = None
        elif message is not None:
            self.failure = StepFailed(*message[1:])
            self.undo = []  # done already
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        os.waitpid(self.pid, 0)
        self._on_end(self)


class Order:
    """What a launcher is to do; made in the shim, executed in the launcher."""

    __slots__ = ("init_pidfd", "oom_dir", "plan_fd", "shim_dir", "size", "stdio")

    def __init__(
        self,
        plan_fd: int,
        stdio: tuple[int, ...],
        size: tuple[int, int],
        *,
        init_pidfd: int = -1,
        shim_dir: str = "",
        oom_dir: str = "",
    ) -> None:
        self.plan_fd = plan_fd
        self.stdio = stdio
        self.size = size
        self.init_pidfd = init_pidfd  # of the container that an exec joins; -1 starts a container
        self.shim_dir = shim_dir
        self.oom_dir = oom_dir

    def execute(self, sock: _socket.socket) -> None:
        """The launcher process's whole life. Does not return."""
        gc.disable()
        status = 125
        try:
            files.close_all_but({0, 1, 2, sock.fileno(), self.plan_fd, self.init_pidfd, *self.stdio})
            plan = marshal.loads(_read_all(self.plan_fd))
            send(sock, ("plan", plan["undo"], plan["clone"]))
            self._launch(plan, sock)
            status = 0
        except BaseException as error:
            failed = error if isinstance(error, StepFailed) else failure(("launch",), error)
            send(sock, ("failed", failed.step, failed.argument, failed.errno, failed.text))
        finally:
            os._exit(status)

    def _launch(self, plan: Plan, sock: _socket.socket) -> None:
        stdin_fd, stdout_fd, stderr_fd = self.stdio
        if self.init_pidfd >= 0:
            started = join.join(plan, stdin_fd, stdout_fd, stderr_fd, init_pidfd=self.init_pidfd)
        else:
            started = launch.launch(plan, stdin_fd, stdout_fd, stderr_fd)
        try:
            watch = oom.open_watch(self.oom_dir) if self.oom_dir else None
            if started.console_fd is not None and self.size[0]:
                console.resize(started.console_fd, *self.size)
            if self.shim_dir:
                record.write_state(self.shim_dir, os.getppid(), started.pid)
        except OSError as error:
            _take_back(plan, started)
            raise failure(("supervise",), error) from None
        fds = [started.pidfd]
        if watch is not None:
            fds += [watch.fd, watch.counter_fd]
        if started.console_fd is not None:
            fds.append(started.console_fd)
        send(sock, ("started", started.pid, watch is not None, watch is not None and watch.urgent), *fds)


def _take_back(plan: Plan, started: Launched) -> None:
    processes.pidfd_send_signal(started.pidfd, signal.SIGKILL)
    processes.wait_pidfd(started.pidfd)
    launch.finish(plan, started.pid)


def _read_all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)

"""Launching in a process of its own: what a start costs in memory goes with it, and the shim never waits.

    shim --fork--> launcher --clone--> init (or an exec's process)
         <-- plan, started with descriptors, or failed --
                   ends; the process is the shim's child from the beginning (CLONE_PARENT, clone(2))

The plan comes as a file (a memfd of the daemon's), so that its bytes never enter the shim. A launcher that is
killed half-way leaves a process that is not known by name yet: the shim kills the children that it does not
know, and runs the undo steps, which the launcher named before anything was made.

All that a start needs is made in the launcher: the shim's socket, the log, the pipes. The shim gets
descriptors. Messages are marshalled tuples in packets, as in state.py:
    ("plan", undo, clone)             nothing has been made yet but the shim's socket, whose descriptor comes
                                      along; it is answered by ("go",). An exec has neither
    ("started", pid, helper, names, facts)
                                      helper: a process that is to be reaped, or 0. names of the descriptors:
                                      pidfd; stdin, stdout, stderr or console; log; oom, oom-counter.
                                      facts: size and last instant of the log, whether oom is urgent, and the
                                      process whose root is the container's (init, but for a sandbox)
    ("failed", step, argument, errno, text, undone)
"""

from __future__ import annotations

import gc
import marshal
import os

from onggi import failpoints
from onggi.kernel import files, processes
from onggi.spawn import console, foreign, join, launch, log, oom, pipes, record, title
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
    from onggi.spawn.pipes import Ends
    from onggi.spawn.plan import Launched, Plan
else:
    import _signal as signal  # the signal module imports enum, 6 ms


class Launcher:
    """One launch, seen from the shim. Owns the launcher process and the socket to it.

    Calls on_begin(launcher, descriptor) where the shim's socket has come, and on_end(launcher) once, when the
    launcher has said how it went, or died: then `failure` says what failed, or else `process` is our child,
    and the descriptors are the caller's. `reap` is for the caller to call: an answer need not wait until the
    launcher's memory is freed. Raises OSError from the constructor.
    """

    __slots__ = (
        "_loop", "_on_begin", "_on_end", "_sock", "clone", "ends", "failure", "killed", "log", "oom",
        "pid", "pidfd", "process", "root", "undo",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        order: Order,
        on_end: Callable[[Launcher], None],
        on_begin: Callable[[Launcher, int], None],
    ) -> None:
        self._loop = loop
        self._on_end, self._on_begin = on_end, on_begin
        self.failure: StepFailed | None = StepFailed("launch", "", 0, "launch: the launcher was killed")
        self.killed = True  # until it has said how it went
        self.process = self.root = 0
        self.pidfd = -1
        self.ends: Ends = {}
        self.oom: oom.OomWatch | None = None
        self.log: tuple[int, int, int] | None = None  # as open_log gives it
        self.undo: list[Any] = []  # what is to be done at the end, whichever
        self.clone = 0
        self._sock, theirs = channel()
        shim = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            self._sock.close()
            theirs.close()
            raise
        if self.pid == 0:
            order.execute(theirs, shim)
        theirs.close()
        loop.watch(self._sock.fileno(), IN, self._told)

    def kill(self) -> None:
        """End a launch that nobody waits for any more; it is then reported as failed."""
        os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own

    def _told(self, events: int) -> None:
        message, fds = receive(self._sock)
        if message is not None and message[0] == "plan":
            _, self.undo, self.clone = message
            if fds:
                self._on_begin(self, fds[0])
                send(self._sock, ("go",))
            return
        if message is not None:
            self.killed = False
            if message[0] == "started":
                _, self.process, helper, names, facts = message
                self._take(helper, names, facts, fds)
            else:
                *failed, undone = message[1:]
                self.failure = StepFailed(*failed)
                if undone:
                    self.undo = []
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self._on_end(self)

    def reap(self) -> None:
        """Wait for the launcher's end, which is near."""
        os.waitpid(self.pid, 0)

    def _take(self, helper: int, names: list[str], facts: tuple[int, int, bool, int], fds: list[int]) -> None:
        self.failure = None
        if helper:
            os.waitpid(helper, 0)
        ends = dict(zip(names, fds))  # noqa: B905  strict needs a keyword, and lengths are the sender's
        self.pidfd = ends.pop("pidfd")
        size, last, urgent, self.root = facts
        if "log" in ends:
            self.log = (ends.pop("log"), size, last)
        if "oom" in ends:
            self.oom = oom.OomWatch(ends.pop("oom"), ends.pop("oom-counter"), urgent=urgent)
        self.ends = ends


class Order:
    """What a launcher is to do: of a container the request `start`, of an exec `exec` (messages.py)."""

    __slots__ = ("connections", "container_dir", "init_pidfd", "output", "plan_fd", "request", "shim_dir")

    def __init__(
        self,
        request: dict[str, Any],
        plan_fd: int,
        *,
        output: bool,
        shim_dir: str = "",
        container_dir: str = "",
        init_pidfd: int = -1,
    ) -> None:
        self.request = request
        self.plan_fd = plan_fd
        self.output = output
        self.shim_dir = shim_dir
        self.container_dir = container_dir
        # The shim's, open as long as the launcher lives: the daemon hears that the shim was killed when
        # nobody makes cgroups or processes any more.
        self.connections: list[int] = []
        self.init_pidfd = init_pidfd  # of the container that an exec joins; -1 starts a container

    def execute(self, sock: _socket.socket, shim: int) -> None:
        """The launcher process's whole life, which is not longer than the shim's. Does not return."""
        gc.disable()
        status = 125
        try:
            processes.set_parent_death_signal(signal.SIGKILL)
            if os.getppid() != shim:  # it was killed before that
                os._exit(status)
            files.close_all_but({0, 1, 2, sock.fileno(), self.plan_fd, self.init_pidfd, *self.connections})
            plan = marshal.loads(os.pread(self.plan_fd, os.fstat(self.plan_fd).st_size, 0))
            listeners = [] if self.init_pidfd >= 0 else [self._begin_run()]
            send(sock, ("plan", plan["undo"], plan["clone"]), *listeners)
            if listeners:
                title.set_title(f"onggi-shim {self.shim_dir}", os.getppid())
                receive(sock)  # "go": whose orphans it will be is settled
            failpoints.hit("launcher.begun")
            self._launch(plan, sock)
            failpoints.hit("launcher.told")
            status = 0
        except BaseException as error:
            failed = error if isinstance(error, StepFailed) else failure(("supervise",), error)
            # What another runtime has begun is the shim's child: it must reap before that can be undone.
            undone = not isinstance(error, foreign.Begun)
            send(sock, ("failed", failed.step, failed.argument, failed.errno, failed.text, undone))
        finally:
            os._exit(status)

    def _begin_run(self) -> int:
        """The shim's directory and socket, and no exit record of the run before."""
        record.remove_exit(self.container_dir)
        return record.bind(self.shim_dir).detach()

    def _launch(self, plan: Plan, sock: _socket.socket) -> None:
        request = self.request
        watches: list[oom.OomWatch] = []

        def meanwhile(pid: int) -> None:
            try:
                if request.get("oom_dir"):
                    watches.append(oom.open_watch(request["oom_dir"]))
                if self.shim_dir:
                    record.write_state(self.shim_dir, os.getppid(), pid)
            except OSError as error:
                raise failure(("supervise",), error) from None

        stdio, ends = pipes.make(terminal=request["terminal"], stdin=request["stdin"], output=self.output)
        size = last = 0
        if request.get("log"):
            ends["log"], size, last = log.open_log(request["log"]["path"])
        started = self._start(plan, stdio, meanwhile)
        failpoints.hit("launcher.launched")
        urgent, root = False, started.pid
        try:
            ends["pidfd"] = started.pidfd
            for watch in watches:
                ends["oom"], ends["oom-counter"] = watch.fd, watch.counter_fd
                urgent = watch.urgent
            if "runtime" in plan and self.shim_dir:
                root = foreign.root_of(plan["place"], started.pid, os.getppid())
            if started.console_fd is not None:
                self._open_console(started.console_fd, ends)
        except OSError as error:
            _take_back(plan, started)
            raise failure(("supervise",), error) from None
        facts = (size, last, urgent, root)
        send(sock, ("started", started.pid, started.helper, list(ends), facts), *ends.values())

    def _start(self, plan: Plan, stdio: tuple[int, int, int], meanwhile: Callable[[int], None]) -> Launched:
        """By ourselves, or by another runtime; init, or a process beside it."""
        if "runtime" in plan:
            if self.init_pidfd >= 0:
                return foreign.join(plan, *stdio)
            return foreign.launch(plan, *stdio, meanwhile=meanwhile)
        if self.init_pidfd >= 0:
            return join.join(plan, *stdio, init_pidfd=self.init_pidfd, sibling=True)
        return launch.launch(plan, *stdio, sibling=True, meanwhile=meanwhile)

    def _open_console(self, console_fd: int, ends: Ends) -> None:
        os.set_blocking(console_fd, False)
        ends["console"] = console_fd
        if self.request["stdin"]:
            ends["stdin"] = console_fd
        if self.request["rows"]:
            console.resize(console_fd, self.request["rows"], self.request["columns"])


def _take_back(plan: Plan, started: Launched) -> None:
    processes.pidfd_send_signal(started.pidfd, signal.SIGKILL)
    launch.await_end(started.pidfd)
    launch.finish(plan, started.pid)

"""Starting a plan: host steps, clone, attach steps, the child's steps, execve; and what failed where.

    parent (shim, onggi-runtime)              child
    host steps
    clone, into a v2 cgroup ---------------->  enter v1 cgroups, close the host's descriptors
    attach steps (id maps)
    "go" ----------------------------------->  join namespaces, steps ...
    hooks (prestart, createRuntime)  <-------  "hooks"
    "go" ----------------------------------->  pivot, identity ...
    <----------------------------------------  "console" + pty master, "ready", or "failed"
    end of file  <---------------------------  execve

The caller must be single-threaded. Nothing is imported between clone and execve (tests/unit/spawn/).
Where a pid or user namespace is joined, a helper process joins and makes the child with CLONE_PARENT, so the
caller is the child's parent all the same, and its own namespaces never change.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import gc
import os
import select

from onggi import failpoints
from onggi.kernel import capabilities as _capabilities  # noqa: F401  loaded before any fork
from onggi.kernel import files, processes
from onggi.kernel.namespaces import (
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_PARENT,
    clone,
    clone_into,
    setns,
)
from onggi.spawn import host, steps
from onggi.spawn.plan import Launched, StepFailed
from onggi.spawn.state import Child, channel, failure, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from onggi.spawn.plan import Plan
else:
    import _signal as signal  # the signal module imports enum, 6 ms


def launch(
    plan: Plan,
    stdin_fd: int,
    stdout_fd: int,
    stderr_fd: int,
    *,
    keep_fds: tuple[int, ...] | list[int] = (),
    sibling: bool = False,
    meanwhile: Callable[[int], None] | None = None,
) -> Launched:
    """Start a plan's process; return when it has executed (or waits at `start_fifo`).

    The process gets copies of the three descriptors (ignored where the plan has a terminal), and `keep_fds`
    under their own numbers. Raises StepFailed; then the child is reaped and the `undo` steps have been run.
    On success the caller reaps the child (`processes.wait_pidfd`), and runs `finish(plan, pid)` afterwards.
    As a `sibling` the process is a child of the caller's parent, who reaps it and `Launched.helper`.
    `meanwhile` is called with its pid while it executes its steps; where that raises, the launch has failed.
    """
    run = _Run(plan, (stdin_fd, stdout_fd, stderr_fd), tuple(keep_fds), sibling=sibling)
    run.meanwhile = meanwhile
    try:
        return run.start()
    except BaseException:
        run.abandon()
        raise


def finish(plan: Plan, pid: int) -> list[str]:
    """Run the `undo` steps after init's end: cgroups removed, poststop hooks. Returns what failed, as
    text."""
    return host.run_all(plan["undo"], host.Parent(pid))


class _Run:
    """One launch, seen from the parent. Owns the socket, the slots and, until success, the child."""

    def __init__(
        self, plan: Plan, stdio: tuple[int, int, int], keep: tuple[int, ...], *, sibling: bool
    ) -> None:
        self.plan = plan
        self.parent_flag = CLONE_PARENT if sibling else 0
        self.helper = 0
        self.stdio = stdio
        self.keep = keep
        self.parent = host.Parent(0, stdio)
        self.namespaces: list[tuple[int, int]] = []
        self.tasks: list[tuple[int, str]] = []
        self.born_fd = -1
        self.meanwhile: Callable[[int], None] | None = None
        self.sock: _socket.socket | None = None
        self.pid = 0
        self.pidfd = -1
        self.console_fd: int | None = None

    def start(self) -> Launched:
        host.run(self.plan["host"], self.parent)
        failpoints.hit("launcher.host-done")
        self._open_namespaces()
        self._open_cgroups()
        self.sock, child_sock = channel()
        try:
            self._clone(child_sock)
        finally:
            child_sock.close()
        failpoints.hit("launcher.cloned")
        self._attach()
        failpoints.hit("launcher.attached")
        if "learn" in self.plan:
            from onggi.spawn import learning  # the host's files are still there, and few runs ask for it

            learning.begin(self.pid, self.pidfd, *self.plan["learn"])
        self._say_go()
        if self.meanwhile is not None:
            self.meanwhile(self.pid)
        self._follow()
        failpoints.hit("launcher.executed")
        self._close()
        warnings = host.run_all(self.plan["started"], self.parent)
        return Launched(self.pid, self.pidfd, self.console_fd, warnings, self.helper)

    def _attach(self) -> None:
        self.parent.pid = self.pid
        host.run(self.plan["attach"], self.parent)

    def abandon(self) -> None:
        """Kill and reap what was made, then undo."""
        if self.pidfd >= 0:
            try:
                processes.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has ended already, and is reaped below
            self._reap(self.pidfd)
            os.close(self.pidfd)
        if self.console_fd is not None:
            os.close(self.console_fd)
        self._close()
        host.run_all(self.plan["undo"], self.parent)

    def _reap(self, pidfd: int) -> None:
        """Wait for a process's end; a sibling is then reaped by our parent."""
        await_end(pidfd)
        if not self.parent_flag:
            processes.wait_pidfd(pidfd)

    def _open_namespaces(self) -> None:
        for path, flag in self.plan["join"]:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise failure(("join", path), error) from None
            self.namespaces.append((fd, flag))

    def _clone(self, child_sock: _socket.socket) -> None:
        flags: int = self.plan["clone"]
        joined = 0
        for _, flag in self.namespaces:
            joined |= flag
        if joined & (CLONE_NEWPID | CLONE_NEWUSER) or (joined and flags & CLONE_NEWUSER):
            self._clone_through_helper(child_sock, flags)
            return
        self.pid, self.pidfd = self._born(
            flags, lambda: _in_child(child_sock, lambda: self._become(child_sock, self.namespaces))
        )

    def _open_cgroups(self) -> None:
        """Opened with our rights; the file's opener is who the kernel asks (cgroup1_procs_write)."""
        try:
            for path in self.plan["tasks"]:
                self.tasks.append((os.open(path, os.O_WRONLY | os.O_CLOEXEC), path))
            if path := self.plan["born"]:
                self.born_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise failure(("cgroup", path), error) from None

    def _born(self, flags: int, become: Callable[[], None]) -> tuple[int, int]:
        """Clone into the version 2 cgroup, where there is one. `become` is the child's life."""
        moved = self.born_fd < 0
        if not moved:
            try:
                pid, pidfd = clone_into(flags | self.parent_flag, self.born_fd)
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise failure(("cgroup", self.plan["born"]), error) from None
                moved = True
        if moved:
            pid, pidfd = clone(flags | self.parent_flag)
        if pid == 0:
            become()
        if moved:
            self._move(pid)
        return pid, pidfd

    def _move(self, pid: int) -> None:
        """Into the version 2 cgroup afterwards: slow (see runtime/cgroups/steps.py), and always possible."""
        if self.born_fd < 0:
            return
        try:
            fd = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.born_fd)
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(("cgroup", self.plan["born"]), error) from None

    def _clone_through_helper(self, child_sock: _socket.socket, flags: int) -> None:
        self.helper, helper_fd = clone(self.parent_flag)
        if self.helper == 0:
            _in_child(child_sock, lambda: self._help(child_sock, flags))
        try:
            assert self.sock is not None
            message, _ = receive(self.sock)
            self._reap(helper_fd)
        finally:
            os.close(helper_fd)
        if message is None or message[0] != "pid":
            raise _as_failure(message, "join")
        self.pid = message[1]
        self.pidfd = processes.pidfd_open(self.pid)
        self._move(self.pid)  # the helper has given up the rights that being born there takes

    def _help(self, sock: _socket.socket, flags: int) -> None:
        """In the helper: join, then make the real child as a sibling, and go."""
        _join(self.namespaces)
        pid, _ = clone(flags | CLONE_PARENT)
        if pid == 0:
            self._become(sock, [])
        send(sock, ("pid", pid))
        os._exit(0)

    def _become(self, sock: _socket.socket, namespaces: list[tuple[int, int]]) -> None:
        """In the child: prepare, execute the steps. Does not return."""
        child = Child(self.plan, sock, self.parent.slots)
        prepare(child, self.stdio, self.keep, [fd for fd, _ in namespaces], self.tasks)
        child.wait()
        if namespaces:
            _join(namespaces)
        steps.run(child)

    def _say_go(self) -> None:
        assert self.sock is not None
        try:
            send(self.sock, ("go",))
        except BrokenPipeError:
            pass  # it failed before; _follow reads why

    def _follow(self) -> None:
        """Answer the child until it has executed, waits at the fifo, or failed."""
        assert self.sock is not None
        while True:
            message, fds = receive(self.sock)
            if message is None:
                return
            if message[0] == "hooks":
                host.run(self.plan["hooks"], self.parent)
                self._say_go()
            elif message[0] == "console":
                self.console_fd = fds[0]
            elif message[0] == "ready":
                return
            else:
                raise _as_failure(message, "child")

    def _close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        for fd, _ in (*self.namespaces, *self.tasks):
            os.close(fd)
        self.namespaces, self.tasks = [], []
        if self.born_fd >= 0:
            os.close(self.born_fd)
            self.born_fd = -1
        self.parent.close()


def await_end(pidfd: int) -> None:
    """Wait for a process's end without reaping it."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()


def prepare(
    child: Child,
    stdio: tuple[int, int, int],
    keep: tuple[int, ...],
    also: list[int],
    tasks: list[tuple[int, str]],
) -> None:
    """First deeds of a child: into its cgroups, signals as at a program's start, stdio in place, other
    descriptors closed.
    """
    for fd, path in tasks:
        try:
            os.write(fd, b"0")
        except OSError as error:
            raise failure(("cgroup", path), error) from None
    os.setsid()
    for number in (
        int(signal.SIGPIPE),
        int(signal.SIGXFSZ),
    ):  # Python ignores them; ignored signals outlive execve
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if child.plan["start_fifo"]:
        # read-write: neither side's open blocks, and the path is not needed after the pivot
        child.fifo_fd = os.open(child.plan["start_fifo"], os.O_RDWR | os.O_CLOEXEC)
    if not child.plan["terminal"]:
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in stdio]
        for number, copy in enumerate(copies):
            os.dup2(copy, number)
    child.keep = keep
    files.close_all_but({child.sock.fileno(), child.fifo_fd, *child.slots.values(), *keep, *also})


def _in_child(sock: _socket.socket, deed: Callable[[], None]) -> None:
    """Run the child's side; whatever happens, this process ends here."""
    gc.disable()
    try:
        deed()
    except BaseException as error:
        failed = error if isinstance(error, StepFailed) else failure(("prepare",), error)
        try:
            send(sock, ("failed", failed.step, failed.argument, failed.errno, failed.text))
        except OSError:
            pass  # nobody is left to tell
    finally:
        os._exit(125)


def _join(namespaces: list[tuple[int, int]]) -> None:
    """Enter namespaces: those that this process may, then the user's, then what only its owner may.

    Root may enter all before it gives its rights up; a rootless caller has rights over them only inside the
    user namespace that owns them.
    """
    later = []
    for fd, flag in sorted(namespaces, key=lambda pair: pair[1] == CLONE_NEWUSER):
        try:
            setns(fd, flag)
        except OSError as error:
            if error.errno != errno.EPERM or flag == CLONE_NEWUSER:
                raise failure(("join", f"{flag:#x}"), error) from None
            later.append((fd, flag))
    for fd, flag in later:
        try:
            setns(fd, flag)
        except OSError as error:
            raise failure(("join", f"{flag:#x}"), error) from None


def _as_failure(message: tuple[Any, ...] | None, step: str) -> StepFailed:
    if message is not None and message[0] == "failed":
        return StepFailed(*message[1:])
    return StepFailed(step, "", errno.ESRCH, f"{step}: the process ended before it could be started")

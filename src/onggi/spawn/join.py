"""Running a process inside a running container (exec): the second way of starting a plan.

The plan is that of `runtime.compile.process`; its `exec_join` is (init's pid, namespaces). All namespaces are
entered through one pidfd, so that they are those of the same process however pids are reused. A launcher, who
ends soon, enters them itself and makes the process as its own sibling; for another caller (and where a user
namespace takes rights away) a helper does so: it enters the cgroups (as launch.py says), then the namespaces,
and makes the process with CLONE_PARENT: the caller is its parent and gets its exit status.
Its root is init's root, its directory is opened inside it and checked (CVE-2024-21626).
"""

from __future__ import annotations

import _socket
import errno
import os
import sys

from onggi.kernel import processes
from onggi.kernel.namespaces import (
    CLONE_NEWCGROUP,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_PARENT,
    clone,
    setns,
)
from onggi.spawn import host, launch, steps
from onggi.spawn.plan import Launched
from onggi.spawn.state import Child, failure, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    from onggi.spawn.plan import Plan
else:
    import _signal as signal  # the signal module imports enum, 6 ms


def join(
    plan: Plan,
    stdin_fd: int,
    stdout_fd: int,
    stderr_fd: int,
    *,
    keep_fds: tuple[int, ...] | list[int] = (),
    init_pidfd: int = -1,
    sibling: bool = False,
) -> Launched:
    """Start an exec's process; return when it has executed. `init_pidfd` saves the look-up by pid.

    `sibling` as in launch.launch. Raises StepFailed (ESRCH where the container has ended); nothing is left
    behind then.
    """
    run = _Join(plan, (stdin_fd, stdout_fd, stderr_fd), tuple(keep_fds), init_pidfd, sibling=sibling)
    try:
        return run.start()
    except BaseException:
        run.abandon()
        raise


class _Join(launch._Run):
    """A launch whose child is made inside another process's namespaces."""

    def __init__(
        self,
        plan: Plan,
        stdio: tuple[int, int, int],
        keep: tuple[int, ...],
        init_pidfd: int,
        *,
        sibling: bool,
    ) -> None:
        super().__init__(plan, stdio, keep, sibling=sibling)
        self.init_pidfd = init_pidfd
        self.owned_pidfd = -1

    def start(self) -> Launched:
        init_pid, _ = self.plan["exec_join"]
        if self.init_pidfd < 0:
            try:
                self.init_pidfd = self.owned_pidfd = processes.pidfd_open(init_pid)
            except OSError as error:
                raise failure(("join", str(init_pid)), error) from None
        try:
            return super().start()
        finally:
            if self.owned_pidfd >= 0:
                os.close(self.owned_pidfd)

    def _clone(self, child_sock: _socket.socket) -> None:
        if self.parent_flag and not self.plan["exec_join"][1] & CLONE_NEWUSER:
            self._clone_here(child_sock)
        else:
            self._clone_by_helper(child_sock)

    def _clone_here(self, child_sock: _socket.socket) -> None:
        """A launcher ends when it has told of the process: it joins by itself.

        All but the cgroup namespace: with `nsdelegate` nobody is born in a cgroup of the host's from inside
        one (cgroup_procs_write_permission); the child joins that.
        """
        self.parent.pid = os.getpid()
        host.run(self.plan["attach"], self.parent)
        flags: int = self.plan["exec_join"][1]
        self._setns(flags & ~CLONE_NEWCGROUP)

        def deed() -> None:
            child = Child(self.plan, child_sock, {})
            launch.prepare(child, self.stdio, self.keep, [self.init_pidfd], self.tasks)
            if flags & CLONE_NEWCGROUP:
                self._setns(CLONE_NEWCGROUP)
            os.close(self.init_pidfd)
            child.wait()
            steps.run(child)

        self.pid, self.pidfd = self._born(0, lambda: launch._in_child(child_sock, deed))

    def _clone_by_helper(self, child_sock: _socket.socket) -> None:
        # cgroups first: what the helper makes is born in them
        self.helper, helper_fd = self._born(
            0, lambda: launch._in_child(child_sock, lambda: self._enter(child_sock))
        )
        try:
            assert self.sock is not None
            self.parent.pid = self.helper
            host.run(self.plan["attach"], self.parent)
            self._say_go()
            message, _ = receive(self.sock)
        except BaseException:
            processes.pidfd_send_signal(helper_fd, signal.SIGKILL)
            raise
        finally:
            self._reap(helper_fd)
            os.close(helper_fd)
        if message is None or message[0] != "pid":
            raise launch._as_failure(message, "join")
        self.pid = message[1]
        self.pidfd = processes.pidfd_open(self.pid)

    def _attach(self) -> None:
        self.parent.pid = self.pid  # it was born in the helper's cgroups

    def _enter(self, sock: _socket.socket) -> None:
        child = Child(self.plan, sock, {})
        launch.prepare(child, self.stdio, self.keep, [self.init_pidfd], self.tasks)
        child.wait()
        self._setns(self.plan["exec_join"][1])
        os.close(self.init_pidfd)
        pid, _ = clone(CLONE_PARENT)
        if pid == 0:
            os.setsid()
            child.wait()
            steps.run(child)
        send(sock, ("pid", pid))
        os._exit(0)

    def _setns(self, flags: int) -> None:
        """Enter; from here on an import would read the container's files."""
        init_pid = self.plan["exec_join"][0]
        processes.set_dumpable(dumpable=False)
        sys.meta_path.clear()
        try:
            if flags:
                setns(self.init_pidfd, flags)
            if flags & CLONE_NEWNS:
                os.chdir("/")
        except OSError as error:
            if error.errno == errno.ESRCH:
                error.strerror = "the container's init has ended"
            raise failure(("join", str(init_pid)), error) from None

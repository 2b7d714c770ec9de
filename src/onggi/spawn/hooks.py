"""Hooks: a host's program that gets the container's state on its standard input (OCI config.md, POSIX
hooks)."""

from __future__ import annotations

import errno
import os
import select

from onggi.kernel import files, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the signal module imports enum, 6 ms

_OUTPUT_BYTES = 4096


def run(
    pid: int,
    kind: str,
    path: str,
    args: tuple[str, ...],
    env: tuple[str, ...],
    timeout: int,
    before: str,
    after: str,
) -> None:
    """Run one hook and wait. Raises OSError naming the hook: not there, a status other than 0, or too
    late."""
    state_fd = files.memfd("state", f"{before}{pid}{after}".encode())
    output_fd = files.memfd("output")
    try:
        child = _start(path, list(args) or [path], env, state_fd, output_fd)
        status = _wait(child, timeout)
        if status is None:
            raise OSError(errno.ETIME, f"{kind} hook did not end in {timeout} s", path)
        if status != 0:
            said = os.pread(output_fd, _OUTPUT_BYTES, 0).decode("utf-8", "replace").strip()
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            raise OSError(errno.EIO, f"error running {kind} hook: {how}, output: {said}", path)
    finally:
        os.close(state_fd)
        os.close(output_fd)


def _start(path: str, args: list[str], env: tuple[str, ...], state_fd: int, output_fd: int) -> int:
    variables = dict(item.split("=", 1) for item in env if "=" in item)
    actions = [
        (os.POSIX_SPAWN_DUP2, state_fd, 0),
        (os.POSIX_SPAWN_DUP2, output_fd, 1),
        (os.POSIX_SPAWN_DUP2, output_fd, 2),
    ]
    return os.posix_spawn(
        path,
        args,
        variables,
        file_actions=actions,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        setsigmask=[],
    )


def _wait(child: int, timeout: int) -> int | None:
    """Its status, or None where it took too long and was killed."""
    pidfd = processes.pidfd_open(child)
    try:
        if timeout > 0:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(timeout * 1000):
                processes.pidfd_send_signal(pidfd, signal.SIGKILL)
                processes.wait_pidfd(pidfd)
                return None
        return processes.wait_pidfd(pidfd)
    finally:
        os.close(pidfd)

"""The standard streams of a process, made: pipes, or nothing where a terminal will be.

Made in the launcher; the process gets one side, the shim the other (streams.py carries).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    Ends = dict[str, int]  # stdin, stdout, stderr, console: the shim's descriptors, non-blocking


def make(*, terminal: bool, stdin: bool, output: bool) -> tuple[tuple[int, int, int], Ends]:
    """(what the process gets as 0, 1 and 2, the shim's ends). /dev/null is what is not wanted."""
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    stdin_fd = stdout_fd = stderr_fd = null_fd
    ends: Ends = {}
    if terminal:
        return (null_fd, null_fd, null_fd), ends
    if stdin:
        stdin_fd, ends["stdin"] = os.pipe2(os.O_CLOEXEC)
    if output:
        ends["stdout"], stdout_fd = os.pipe2(os.O_CLOEXEC)
        ends["stderr"], stderr_fd = os.pipe2(os.O_CLOEXEC)
    for fd in ends.values():
        os.set_blocking(fd, False)
    if null_fd not in (stdin_fd, stdout_fd):
        os.close(null_fd)
    return (stdin_fd, stdout_fd, stderr_fd), ends

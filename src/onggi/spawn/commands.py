"""A program of the host's, run to its end: the foreign runtimes' command lines (foreign.py, the undo step).

The program ends with whoever waits for it (PR_SET_PDEATHSIG), so that a launcher which is killed leaves no
`create` behind that goes on by itself.
"""

from __future__ import annotations

import errno
import os

from onggi.kernel import files, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the signal module imports enum, 6 ms

OUTPUT_BYTES = 4096


def run(args: tuple[str, ...], stdio: tuple[int, int, int], directory: str = "/") -> int:
    """Its exit status, minus a signal's number. Raises OSError in Go's words where it cannot be executed."""
    told_fd = files.memfd("told")
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            _become(args, stdio, directory, told_fd, parent)
        _, status = os.waitpid(pid, 0)
        told = os.pread(told_fd, 16, 0)
    finally:
        os.close(told_fd)
    if told:
        number = int(told)
        raise OSError(number, f"fork/exec {args[0]}: {os.strerror(number).lower()}")
    return os.waitstatus_to_exitcode(status)


def _become(
    args: tuple[str, ...], stdio: tuple[int, int, int], directory: str, told_fd: int, parent: int
) -> None:
    """In the child. Does not return."""
    try:
        processes.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(125)
        for number in (int(signal.SIGPIPE), int(signal.SIGXFSZ)):  # Python ignores them; execve keeps it
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        copies = [os.dup(fd) for fd in stdio]
        for number, copy in enumerate(copies):
            os.dup2(copy, number)
        os.chdir(directory)
        os.execvp(args[0], args)
    except OSError as error:
        os.pwrite(told_fd, str(error.errno or errno.EIO).encode(), 0)
    finally:
        os._exit(125)


def checked(args: tuple[str, ...]) -> None:
    """Run without input. Raises OSError with what it said where it did not succeed."""
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    output_fd = files.memfd("output")
    try:
        status = run(args, (null_fd, output_fd, output_fd))
        if status:
            said = os.pread(output_fd, OUTPUT_BYTES, 0).decode("utf-8", "replace").strip()
            raise OSError(errno.EIO, f"exit status {status}: {said}", args[0])
    finally:
        os.close(null_fd)
        os.close(output_fd)

"""What a child knows while it executes its plan: descriptors and the socket to its parent.

The messages between parent and child, each one marshalled tuple in one packet (SOCK_SEQPACKET):

    child -> parent   ("failed", step, argument, errno, text)     and the child is gone
                      ("pid", pid)                                 of the process that a helper made (join)
                      ("console",)  with the master's descriptor
                      ("hooks",)                                   run `hooks`, then answer
                      ("ready",)                                   waiting at start_fifo
    parent -> child   ("go",)                                      after attach, and after hooks
    end of file       execve has happened: the child's end is close-on-exec
"""

from __future__ import annotations

import _socket
import errno
import marshal
import os
import sys

from onggi.kernel import files
from onggi.spawn.plan import StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MESSAGE_BYTES = 1 << 16
_RIGHTS_BYTES = _socket.CMSG_SPACE(12 * 4)


class Child:
    """State of one execution. Descriptors die with execve; `root_fd` is the container's root."""

    __slots__ = ("executable", "fifo_fd", "home", "keep", "plan", "proc_fd", "root_fd", "slots", "sock")

    def __init__(self, plan: dict[str, Any], sock: _socket.socket, slots: dict[str, int]) -> None:
        self.plan = plan
        self.sock = sock
        self.slots = slots
        self.root_fd = -1
        self.proc_fd = -1
        self.fifo_fd = -1
        self.executable = ""
        self.home = ""  # for a process whose environment has none
        self.keep: tuple[int, ...] = ()

    def open_proc(self) -> int:
        """The host's /proc, verified: what is written below it reaches the kernel (CVE-2025-52881)."""
        if self.proc_fd < 0:
            fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if files.filesystem_type(fd) != files.PROC_SUPER_MAGIC or os.fstat(fd).st_ino != 1:
                raise OSError(errno.EXDEV, "is not the root of a procfs", "/proc")
            self.proc_fd = fd
        return self.proc_fd

    def write_proc(self, path: str, text: str) -> None:
        """Write below the verified /proc; no link leads out, no mount on top is followed."""
        resolve = files.RESOLVE_BENEATH | files.RESOLVE_NO_XDEV | files.RESOLVE_NO_MAGICLINKS
        fd = files.openat2(self.open_proc(), path, os.O_WRONLY, resolve=resolve)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def ask(self, *message: Any) -> None:
        """Tell the parent and wait for its "go". Ends the process where the parent is gone."""
        send(self.sock, message)
        self.wait()

    def wait(self) -> None:
        answer, _ = receive(self.sock)
        if answer != ("go",):
            os._exit(125)


def channel() -> tuple[_socket.socket, _socket.socket]:
    """(parent's end, child's end)."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC, 0)


def send(sock: _socket.socket, message: tuple[Any, ...], *fds: int) -> None:
    data = marshal.dumps(message)
    if not fds:
        sock.send(data, _socket.MSG_NOSIGNAL)
        return
    rights = b"".join([fd.to_bytes(4, sys.byteorder) for fd in fds])
    sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)], _socket.MSG_NOSIGNAL)


def receive(sock: _socket.socket) -> tuple[tuple[Any, ...] | None, list[int]]:
    """The next message and its descriptors; (None, []) at the end of file."""
    try:
        data, ancillary, _, _ = sock.recvmsg(_MESSAGE_BYTES, _RIGHTS_BYTES, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None, []
    if not data:
        return None, []
    fds = []
    for level, kind, rights in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds = [int.from_bytes(rights[at : at + 4], sys.byteorder) for at in range(0, len(rights), 4)]
    return marshal.loads(data), fds


def failure(step: tuple[Any, ...], error: BaseException) -> StepFailed:
    """An exception of a step as StepFailed; its text names the step's object and the system's reason."""
    if isinstance(error, StepFailed):
        return error
    argument = _argument(step)
    if isinstance(error, OSError) and error.errno is not None:
        subject = error.filename if isinstance(error.filename, str) and error.filename else argument
        about = f" {subject!r}" if subject else ""
        return StepFailed(step[0], argument, error.errno, f"{step[0]}{about}: {_lower(error.strerror)}")
    return StepFailed(step[0], argument, 0, f"{step[0]} {argument!r}: {type(error).__name__}: {error}")


def _argument(step: tuple[Any, ...]) -> str:
    if step[0] in ("mount", "mount-slot"):
        fields = step[1:] if step[0] == "mount" else step[2]
        return f'"{fields[0]}" to rootfs at "{fields[1]}"'
    first = step[1] if len(step) > 1 else ""
    if isinstance(first, (list, tuple)):
        first = first[0] if first else ""
    return "" if isinstance(first, bytes) else str(first)


def _lower(text: str | None) -> str:
    text = text or "unknown error"
    return text[:1].lower() + text[1:] if text[1:2].islower() else text

"""Workers: processes that unpack layers beside the engine, so that layers are unpacked on all cores.

    worker = workers.take()              an idle one, or a new one
    worker.begin(root_fd, whiteouts=...)
    worker.write(piece) ...              the packed bytes, as they come; BrokenPipeError once it has given up
    worker.finish() -> Answer            then `give` it back; after anything else `end` it

A thread would do for one layer; a second one waits for the interpreter's lock at each of its system calls,
of which a small file costs ten. A worker starts in 60 ms, takes 12 MiB, and ends by itself when it is
idle. It has the engine's rights, and no descriptors but its layer's. Not here: its program (worker.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
import threading
import weakref

import msgspec

from onggi import errors
from onggi.errors import OnggiError, System
from onggi.images.tar import entry
from onggi.images.worker import CHANNEL_FD, Answer, Order

IDLE_MAX = os.cpu_count() or 1
PIPE_BYTES = 1 << 20
ANSWER_BYTES = 1 << 16
F_SETPIPE_SZ = 1031  # fcntl(2)
PROGRAM = "import sys; sys.path[:] = {path!r}; from onggi.images.worker import main; main()"


class Workers:
    """All workers of one engine. Its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        weakref.finalize(self, _end, self._idle)  # a store that is let go of leaves no process

    def take(self) -> Worker:
        """One that is idle, or a new one. Raises OSError."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return Worker()
            if worker.alive:
                return worker
            worker.end()

    def give(self, worker: Worker) -> None:
        """It has answered, and may be asked again."""
        with self._lock:
            if len(self._idle) < IDLE_MAX:
                self._idle.append(worker)
                return
        worker.end()

    def close(self) -> None:
        """End those that are idle."""
        with self._lock:
            _end(self._idle)


class Worker:
    """One process. For one thread at a time. Raises OSError where it cannot be started."""

    def __init__(self) -> None:
        self._pipe_fd = self._pidfd = -1
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with theirs:
            pid = _spawn(theirs.fileno())
        self._pidfd = os.pidfd_open(pid)  # before anybody waits: the number is still this process's
        # Whoever ends by itself is waited for at once: nothing of a pull stays, not even a zombie.
        self._reaper = threading.Thread(target=_reap, args=(pid,), name="worker", daemon=True)
        self._reaper.start()

    @property
    def alive(self) -> bool:
        """Whether it waits for work; one that has ended has closed its side."""
        return not self._says_something()

    def begin(self, root_fd: int, *, whiteouts: str) -> None:
        """Hand a layer's directory over. Raises OSError (the worker has ended just now)."""
        read_fd, self._pipe_fd = os.pipe2(os.O_CLOEXEC)
        try:
            _widen(self._pipe_fd)
            order = msgspec.json.encode(Order(whiteouts))
            socket.send_fds(self._channel, [order], [root_fd, read_fd])
        finally:
            os.close(read_fd)

    def write(self, data: bytes) -> None:
        """Some of the packed layer. Raises BrokenPipeError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._pipe_fd, view) :]

    @property
    def answered(self) -> bool:
        """Whether it has something to say, before the layer's end: then it is an error."""
        return self._says_something()

    def _says_something(self) -> bool:
        poll = select.poll()  # not select(2): the descriptor may be one of thousands
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """The layer has no more bytes."""
        if self._pipe_fd >= 0:
            os.close(self._pipe_fd)
            self._pipe_fd = -1

    def finish(self) -> Answer:
        """Wait for the answer. Raises what unpacking raised; System where the worker was killed."""
        self.close()
        try:
            data = self._channel.recv(ANSWER_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            raise System("the process that unpacked a layer has ended")
        answer = msgspec.json.decode(data, type=Answer)
        if answer.kind:
            raise kind_of(answer.kind)(answer.message)
        return answer

    def end(self) -> None:
        """Stop it, whatever it does, and wait for its end: nobody writes to the layer any more."""
        self.close()
        self._channel.close()
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._reaper.join()
        os.close(self._pidfd)
        self._pidfd = -1


def _end(workers: list[Worker]) -> None:
    while workers:
        workers.pop().end()


def kind_of(name: str) -> type[OnggiError]:
    """The error's class by its name; System for one that is not known."""
    for module in (errors, entry):
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, OnggiError):
            return found
    return System


def _spawn(channel_fd: int) -> int:
    """A Python without site and environment, which has its channel and no other descriptor."""
    high_fd = fcntl.fcntl(channel_fd, fcntl.F_DUPFD_CLOEXEC, 64)
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", PROGRAM.format(path=sys.path)],
            {"LC_ALL": "C.UTF-8"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null_fd, 0),
                (os.POSIX_SPAWN_DUP2, null_fd, 1),
                (os.POSIX_SPAWN_DUP2, high_fd, CHANNEL_FD),
            ],
        )
    finally:
        os.close(high_fd)
        os.close(null_fd)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def _widen(pipe_fd: int) -> None:
    try:
        fcntl.fcntl(pipe_fd, F_SETPIPE_SZ, PIPE_BYTES)
    except PermissionError:
        return  # pipe(7): the user has as many pages in pipes as pipe-user-pages-soft allows

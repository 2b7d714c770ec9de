"""The engine as process 1, as in a container without an init: somebody else has to be that.

    pid 1   takes every signal, hands it on, reaps what the kernel leaves to it, ends with the engine's status
      \\-> the engine

What daemonizes is left to process 1: shims of a dead zygote, programs that serve mounts (spawn/fuse.py). An
engine that waited for all of them would take the ends of its own children from those who wait for these.
"""

from __future__ import annotations

import os
import signal


def stand_aside() -> None:
    """In process 1 the engine goes on in a child; nothing happens in any other."""
    if os.getpid() != 1:
        return
    everything = signal.valid_signals()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    engine = os.fork()
    if engine == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    while True:
        number = signal.sigwait(everything)
        if number != signal.SIGCHLD:
            os.kill(engine, number)
            continue
        status = _reap(engine)
        if status is not None:
            os._exit(status)


def _reap(engine: int) -> int | None:
    """All that have ended; the engine's status if it was among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)  # the engine is a child until it is found here
        if pid == 0:
            return None
        if pid == engine:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code

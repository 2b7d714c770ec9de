"""onggi-runtime start ID: let a created container's process execute; poststart hooks."""

from __future__ import annotations

import errno
import os

from onggi.errors import Conflict
from onggi.runtime import state
from onggi.runtime.options import Option
from onggi.runtime.verbs import line
from onggi.spawn import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS: dict[str, Option] = {}


def run(runtime: Runtime, words: list[str]) -> int:
    _, container_id = line.one_container("start", OPTIONS, words)
    container = state.load(runtime.root, container_id)
    with state.Lock(container.directory):
        status = container.status()
        if status == state.STOPPED:
            raise Conflict("cannot start a container that has stopped")
        if status != state.CREATED:
            raise Conflict("cannot start an already running container")
        release(container)
    for failure in host.run_all(container.plan["started"], host.Parent(container.pid)):
        runtime.log("warning", failure)
    return 0


def release(container: state.Container) -> None:
    """A byte into the fifo that init waits at."""
    try:
        fd = os.open(container.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        if failure.errno == errno.ENXIO:  # nobody reads: init is gone
            raise Conflict("cannot start a container that has stopped") from None
        raise
    os.write(fd, b"0")
    os.close(fd)
    os.unlink(container.fifo)

"""The zygote: a small interpreter that has imported everything and forks a shim for each run of a container.

Started by engine/interpreter.py from a read-only mount of the interpreter's file; single-threaded, not
dumpable, in no working directory. It waits for "spawn" requests on one inherited socket and ends at its
end of file; shims are sessions of their own and live on. It has no state: killing it loses nothing.

What is imported here is shared by all shims as long as nobody writes to it. gc.freeze() keeps the collector
from doing so (it would touch every object's header).
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from _socket import socket as _Socket

from onggi.kernel import processes
from onggi.spawn import title
from onggi.spawn.messages import Channel, Closed, ProtocolError
from onggi.spawn.shim import Shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def main(channel_fd: int) -> NoReturn:
    """Serve until the daemon is gone. Entry of the process."""
    processes.set_dumpable(dumpable=False)  # /proc/PID of shims and children is closed to others of their uid
    os.closerange(
        channel_fd + 1, 1 << 20
    )  # what the daemon itself had inherited: shims would hold it for ever
    os.setsid()  # a terminal's ctrl-c is for the daemon
    os.chdir("/")
    os.umask(0o022)
    title.set_title("onggi-zygote", "onggi-zygote")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are reaped by the kernel
    channel = Channel(_Socket(fileno=channel_fd))
    gc.collect()
    gc.freeze()
    try:
        serve(channel)
    except (Closed, KeyboardInterrupt):
        os._exit(0)
    except ProtocolError as error:
        sys.stderr.write(f"onggi-zygote: {error}\n")
        os._exit(1)


def serve(channel: Channel) -> NoReturn:
    """Fork a shim for each request. Raises Closed at the daemon's end."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        poll.poll()
        for number, verb, body, fds in channel.receive():
            if verb != "spawn" or len(fds) != 1:
                raise ProtocolError(f"unexpected {verb!r} with {len(fds)} descriptors")
            try:
                pid = os.fork()
            except OSError as error:
                channel.send(-number, "os", {"errno": error.errno, "text": f"fork: {error.strerror}"})
            else:
                if pid == 0:
                    become_shim(channel, body, fds[0])
                channel.send(-number, "", {"pid": pid})
            os.close(fds[0])


def become_shim(channel: Channel, body: Any, fd: int) -> NoReturn:
    """In the child: supervise one run, then end. What goes wrong unexpectedly is left beside the exit
    record."""
    status = 1
    try:
        channel.close()
        os.dup2(0, 2)  # /dev/null: the daemon's stderr may be a pipe that somebody waits for
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            # Ended by its container only; a handler, not SIG_IGN, which children would inherit over execve.
            signal.signal(number, _stay)
        title.set_title(f"onggi-shim {body['id']}", "onggi-shim")
        Shim(body["id"], body["shim_dir"], body["container_dir"], _Socket(fileno=fd)).run()
        status = 0
    except BaseException:
        _leave_traceback(body["container_dir"])
    finally:
        os._exit(status)
    raise AssertionError("unreachable")


def _stay(number: int, frame: object) -> None:
    """Supervision ends with the container, not before."""


def _leave_traceback(container_dir: str) -> None:
    import traceback  # a shim that reaches this has failed already: what it costs does not matter

    with open(f"{container_dir}/shim-error.txt", "w") as file:
        traceback.print_exc(file=file)

"""The zygote: a small interpreter that has imported everything and forks a shim for each run of a container.

Started by engine/interpreter.py from a read-only mount of the interpreter's file; single-threaded, not
dumpable, in no working directory. It waits for requests ("spawn", and "namespaces" for a container with ids
of its own) on one inherited socket and ends at its end of file; shims are sessions of their own and live on.
It has no state: killing it loses nothing.

What is imported here is shared by all shims as long as nobody writes to it. gc.freeze() keeps the collector
from doing so (it would touch every object's header); what a shim does use lies together (packing.py).
"""

from __future__ import annotations

import gc
import os
import select
import sys
from _socket import socket as _Socket

from onggi import jsontext as _jsontext  # noqa: F401  what launchers use, and shims do not, comes first
from onggi.kernel import processes
from onggi.spawn import host as _host
from onggi.spawn import join as _join  # noqa: F401
from onggi.spawn import launch as _launch  # noqa: F401
from onggi.spawn import packing

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal  # the signal module imports enum, 6 ms

packing.fill_holes()

from onggi.kernel.namespaces import CLONE_NEWNET, CLONE_NEWUSER  # noqa: E402
from onggi.spawn import rehearsal, state, title  # noqa: E402
from onggi.spawn.messages import Channel, Closed, ProtocolError  # noqa: E402
from onggi.spawn.shim import Shim  # noqa: E402


def main(channel_fd: int, exec_root: str) -> NoReturn:
    """Serve until the daemon is gone. Entry of the process."""
    processes.set_dumpable(dumpable=False)  # /proc/PID of shims and children is closed to others of their uid
    os.closerange(channel_fd + 1, 1 << 20)  # what the daemon had inherited: shims would hold it for ever
    os.setsid()  # a terminal's ctrl-c is for the daemon
    os.chdir("/")
    os.umask(0o022)
    title.prepare()
    title.set_name("onggi-shim")  # what its children are, and writing it costs each of them
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        # Shims are ended by their containers only. A handler, not SIG_IGN, which execve would hand on.
        signal.signal(number, _stay)
    try:
        rehearsal.rehearse(f"{exec_root}/rehearsal-{os.getpid()}")
    except OSError as error:
        sys.stderr.write(f"onggi-zygote: no rehearsal, shims will need more memory: {error}\n")
    title.set_title(f"onggi-zygote {exec_root}")  # the rehearsal has set another
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are reaped by the kernel
    channel = Channel(_Socket(fileno=channel_fd))
    gc.collect()
    gc.freeze()
    try:
        serve(channel)
    except Closed:
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
            if verb not in ("spawn", "namespaces") or len(fds) != 1:
                raise ProtocolError(f"unexpected {verb!r} with {len(fds)} descriptors")
            try:
                pid = os.fork()
            except OSError as error:
                channel.send(-number, "os", {"errno": error.errno, "text": f"fork: {error.strerror}"})
            else:
                if pid == 0 and verb == "namespaces":
                    make_namespaces(channel, body, fds[0])
                if pid == 0:
                    become_shim(channel, body, fds[0])
                channel.send(-number, "", {"pid": pid})
            os.close(fds[0])


def make_namespaces(channel: Channel, body: Any, fd: int) -> NoReturn:
    """In the child: a user namespace with the maps of `body`, and a network that it owns; both are sent."""
    try:
        channel.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sock = _Socket(fileno=fd)
        try:
            made = _host.mapped_namespaces(body["uid_map"], body["gid_map"], CLONE_NEWUSER, CLONE_NEWNET)
            state.send(sock, ("made",), *made)
        except OSError as error:
            state.send(sock, ("failed", error.errno, error.strerror))
    finally:
        os._exit(0)
    raise AssertionError("unreachable")


def become_shim(channel: Channel, body: Any, fd: int) -> NoReturn:
    """In the child: supervise one run, then end. What goes wrong unexpectedly is left beside the exit
    record."""
    status = 1
    try:
        channel.close()
        os.dup2(0, 2)  # /dev/null: the daemon's stderr may be a pipe that somebody waits for
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        Shim(body["id"], body["shim_dir"], body["container_dir"], _Socket(fileno=fd)).run()
        status = 0
    except BaseException:
        _leave_traceback(body["container_dir"])
    finally:
        os._exit(status)
    raise AssertionError("unreachable")


def _stay(number: int, frame: object) -> None:
    """A zygote ends with its daemon, a shim with its container, not before."""


def _leave_traceback(container_dir: str) -> None:
    import traceback  # a shim that reaches this has failed already: what it costs does not matter

    with open(f"{container_dir}/shim-error.txt", "w") as file:
        traceback.print_exc(file=file)

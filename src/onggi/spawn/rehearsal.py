"""Runs of nothing, played by the zygote itself before it forks anybody.

What is done for the first time writes: types are made ready, lookups are cached, bytecode is specialised, and
all of that is memory of its own in each shim that comes to it first. After a rehearsal it is the zygote's,
and shared. The runs are real ones, of `true`, with a log, a client and an exit record, in `directory`, which
is gone afterwards. CPython 3.11 specialises a function when it has been called eight times.
"""

from __future__ import annotations

import _socket
import marshal
import os
import sys

from onggi import failpoints
from onggi.kernel import files, processes
from onggi.spawn import plan as plans
from onggi.spawn.messages import Channel
from onggi.spawn.record import RECORD
from onggi.spawn.shim import Shim

_PROGRAMS = (["/bin/true"], ["/usr/bin/true"], [sys.executable, "-I", "-S", "-c", "pass"])
_LOG = "rehearsal.log"
_TIMES = 10


def rehearse(directory: str) -> None:
    """Play. Raises OSError where the directory cannot be made; the caller handles no SIGCHLD."""
    os.mkdir(directory, 0o700)
    active = failpoints.suspend()
    try:
        for _ in range(_TIMES):
            _play(directory)
    finally:
        failpoints.resume(active)
        processes.set_child_subreaper(subreaper=False)
        for name in (RECORD, _LOG):
            try:
                os.unlink(f"{directory}/{name}")
            except FileNotFoundError:
                pass  # it failed before
        os.rmdir(directory)


def _play(directory: str) -> None:
    command = next(words for words in _PROGRAMS if os.access(words[0], os.X_OK))
    plan = plans.new("rehearsal")
    plan["child"] = [("find", command[0]), ("exec", command, ["PATH=/bin"])]
    plan_fd = files.memfd("onggi-plan", marshal.dumps(plan))
    ours, theirs = _socket.socketpair()
    client, clients_end = _socket.socketpair()
    shim = Shim("rehearsal", f"{directory}/shim", directory, theirs)
    channel = Channel(ours)
    channel.send(1, "attach", _ATTACH, (clients_end.fileno(),))
    channel.send(2, "start", {**_START, "log": {**_JSON_LOG, "path": f"{directory}/{_LOG}"}}, (plan_fd,))
    client.shutdown(_socket.SHUT_WR)
    for sock in (client, clients_end):
        sock.close()
    os.close(plan_fd)
    shim.run()
    channel.close()
    shim.close()


_ATTACH = {
    "stdin": True, "stdout": True, "stderr": True, "framed": True, "detach_keys": b"\x10\x11", "early": b"x",
}  # fmt: skip
_START = {"terminal": False, "stdin": True, "stdin_once": True, "rows": 0, "columns": 0, "oom_dir": ""}
_JSON_LOG = {"max_bytes": 1 << 20, "max_files": 2, "compress": False, "attrs": b""}

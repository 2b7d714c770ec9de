"""Named places in the code where a test can stop the world.

    ONGGI_FAILPOINT=create.row-written=kill onggi daemon

`hit(name)` does nothing in production: one comparison. Actions: `kill` sends SIGKILL to the own process,
`raise` raises OSError(EIO), `raise-once` does so the first time only, `stop` sends SIGSTOP (a test then
kills what it wants and goes on with SIGCONT).
`timeline=/PATH` appends a line to that file, if there is one, for each place that is passed: monotonic
nanoseconds, pid, name (tests/bench/timeline.py makes a table of it).
Several are joined by commas. No timing, no sleeps: a race is staged by the place, not by the clock.
"""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the signal module imports enum, 6 ms

_TIMELINE = "timeline"
_active: dict[str, str] = {}


def configure(text: str) -> None:
    """Read `name=action[,name=action...]`; an empty text turns all off."""
    _active.clear()
    for item in filter(None, text.split(",")):
        name, _, action = item.rpartition("=")
        _active[name] = action


def hit(name: str) -> None:
    """Do what a test asked for at this place; nothing otherwise."""
    if _active:
        if _TIMELINE in _active:
            _note(name, _active[_TIMELINE])
        if name in _active:
            _act(name, _active[name])


def _note(name: str, path: str) -> None:
    """By its path each time: processes on the way close every descriptor that they do not know."""
    line = f"{time.monotonic_ns()} {os.getpid()} {name}\n".encode()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # we stand in a container's root
    os.write(fd, line)
    os.close(fd)


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        if action == "raise-once":
            del _active[name]
        raise OSError(errno.EIO, f"failpoint {name}")


def suspend() -> dict[str, str]:
    """Turn all off for a while; what `resume` turns on again."""
    active = dict(_active)
    _active.clear()
    return active


def resume(active: dict[str, str]) -> None:
    _active.update(active)


configure(os.environ.get("ONGGI_FAILPOINT", ""))

"""Named places in the code where a test can stop the world.

    ONGGI_FAILPOINT=create.row-written=kill onggi daemon

`hit(name)` does nothing in production: one comparison. Actions: `kill` sends SIGKILL to the own process,
`raise` raises OSError(EIO), `stop` sends SIGSTOP (a test then kills what it wants and goes on with SIGCONT).
Several are joined by commas. No timing, no sleeps: a race is staged by the place, not by the clock.
"""

from __future__ import annotations

import errno
import os
import signal

_active: dict[str, str] = {}


def configure(text: str) -> None:
    """Read `name=action[,name=action...]`; an empty text turns all off."""
    _active.clear()
    for item in filter(None, text.split(",")):
        name, _, action = item.rpartition("=")
        _active[name] = action


def hit(name: str) -> None:
    """Do what a test asked for at this place; nothing otherwise."""
    if _active and name in _active:
        _act(name, _active[name])


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        raise OSError(errno.EIO, f"failpoint {name}")


configure(os.environ.get("ONGGI_FAILPOINT", ""))

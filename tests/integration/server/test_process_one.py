"""The engine as process 1 of a pid namespace: what is left to it is reaped, and signals reach it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, until

pytestmark = pytest.mark.root


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended
        return []


def zombies(first: int) -> list[str]:
    """Names of those in process 1's namespace that nobody has waited for."""
    here, found = os.readlink(f"/proc/{first}/ns/pid"), []
    for entry in os.listdir("/proc"):
        try:
            words = Path(f"/proc/{entry}/stat").read_text().rpartition(")")
            if (
                entry.isdigit()
                and words[2].split()[0] == "Z"
                and os.readlink(f"/proc/{entry}/ns/pid") == here
            ):
                found.append(words[0])
        except OSError:
            continue
    return found


def test_it_reaps_and_hands_signals_on(tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        engine.stop()
        plain = list(engine.command)
        engine.command[:0] = ["unshare", "--pid", "--fork", "--mount-proc", "--"]
        engine.start()
        engines.import_busybox(engine)
        assert engine.process is not None
        (first,) = children(engine.process.pid)
        status = Path(f"/proc/{first}/status").read_text()
        assert next(line for line in status.splitlines() if line.startswith("NSpid")).split()[-1] == "1"
        for _ in range(3):
            engine.onggi("run", "--rm", "--network", "none", BUSYBOX, "true")
        # an orphan that ends is process 1's
        engine.onggi("run", "-d", "--network", "none", "--name", "one", BUSYBOX, "sleep", "1000")
        zygote = next(pid for pid in descendants(first) if b"onggi-zygote" in command_line(pid))
        os.kill(zygote, signal.SIGKILL)
        engine.onggi("rm", "-f", "one")
        until(lambda: not zombies(first))
        os.kill(first, signal.SIGTERM)
        assert engine.process.wait(60) == 0
        assert "Daemon shutdown complete" in engine.log
        engine.process = None
        engine.command[:] = plain
        engine.start()


def descendants(pid: int) -> list[int]:
    below = children(pid)
    return below + [one for child in below for one in descendants(child)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

"""Waves of containers with random kills of containers, shims, zygote and daemon; what is left is counted.

    .venv/bin/python -m tests.soak.soak 2000 [seed]     prints a line for each wave, and figures at the end

The seed is printed: the same one does the same in the same waves. Requests may fail in a wave in
which something is killed (the process may be that of a start that is under way); nowhere else. In the second
half the daemon lives on, so that what it holds (descriptors, memory) can be compared.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests import engines
from tests.engines import Engine

WAVE = 8
COMMANDS = (
    ["true"],
    ["sh", "-c", "echo out; echo err >&2; exit 3"],
    ["sleep", "1000"],
    ["sh", "-c", "while true; do echo line; sleep 0.1; done"],
    ["sh", "-c", "sleep 1000 & sleep 1000 & wait"],
    ["nonsense"],
)
DEEDS = ("nothing", "nothing", "init", "shim", "zygote", "daemon")


@dataclass
class Figures:
    """What an engine without containers holds."""

    processes: int
    descriptors: int
    threads: int
    daemon_kb: int
    zygote_kb: int
    left: list[str]


@dataclass
class Soak:
    """One run: the engine, the dice, and what happened."""

    engine: Engine
    dice: random.Random
    fate: random.Random  # its own, for how many there are to choose from is not the seed's
    deeds: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    made: int = 0

    def wave(self, *, daemon_lives: bool) -> str:
        """Some containers at once, a deed in the middle of it, then all are removed."""
        deed = self.dice.choice([one for one in DEEDS if one != "daemon" or not daemon_lives])
        commands = [self.dice.choice(COMMANDS) for _ in range(WAVE)]
        networks = [self.dice.choice(("none", "none", "bridge")) for _ in range(WAVE)]
        moment = self.dice.random() * 0.3
        with ThreadPoolExecutor(WAVE) as pool:
            started = [
                pool.submit(self._run, command, network)
                for command, network in zip(commands, networks, strict=True)
            ]
            time.sleep(moment)  # the dice's moment: a soak looks for races that nobody has thought of
            self._do(deed)
            problems = [problem for one in started if (problem := one.result())]
        if problems and deed == "nothing":
            raise AssertionError(f"wave with {deed}: {problems}\n{self.engine.log[-3000:]}")
        self.refused.update(problems)
        self.deeds[deed] += 1
        self.made += WAVE
        self._remove_all()
        return deed

    def _run(self, command: list[str], network: str) -> str:
        """Create and start; why not, if not."""
        body = {"Image": engines.BUSYBOX, "Cmd": command, "HostConfig": {"NetworkMode": network}}
        try:
            status, text = self.engine.request("POST", "/containers/create", body)
            if status != 201:
                return f"create {status}"
            cid = text.decode().split('"Id":"')[1][:64]
            status, text = self.engine.request("POST", f"/containers/{cid}/start")
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        expected = 400 if command == ["nonsense"] else 204
        return "" if status == expected else f"start {status} {text[:200]!r}"

    def _do(self, deed: str) -> None:
        assert self.engine.process is not None
        daemon = self.engine.process.pid
        if deed == "daemon":
            self.engine.kill()
            self.engine.start()
        elif deed == "zygote":
            _kill(_zygotes(daemon))
        elif deed in ("shim", "init"):
            shims = [pid for zygote in _zygotes(daemon) for pid in _children(zygote)]
            victims = shims if deed == "shim" else [pid for shim in shims for pid in _children(shim)]
            _kill(self.fate.sample(sorted(victims), min(2, len(victims))))

    def _remove_all(self) -> None:
        for container in self.engine.api("GET", "/containers/json?all=1"):
            status, text = self.engine.request("DELETE", f"/containers/{container['Id']}?force=1&v=1")
            assert status in (204, 404), text
        assert self.engine.api("GET", "/containers/json?all=1") == []

    def figures(self) -> Figures:
        """After a moment in which what is deleted behind the answers goes."""
        assert self.engine.process is not None
        daemon = self.engine.process.pid
        deadline = time.monotonic() + 15
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        zygotes = _zygotes(daemon)
        return Figures(
            processes=len(engines.processes(self.engine)),
            descriptors=len(os.listdir(f"/proc/{daemon}/fd")),
            threads=len(os.listdir(f"/proc/{daemon}/task")),
            daemon_kb=_resident(daemon),
            zygote_kb=sum(map(_resident, zygotes)),
            left=left,
        )

    def _left(self) -> list[str]:
        """What belongs to a container, where there is none: the engine's own things are no leftovers."""
        engine = self.engine
        assert engine.process is not None
        own = {engine.process.pid, *_zygotes(engine.process.pid)}
        found = [
            f"process {pid}" for pid in engines.processes(engine) if pid not in own and not _resolver(pid)
        ]
        found += [f"mount {target}" for target in engines.mounts(str(engine.root))]
        found += [f"cgroup {path}" for path in engines.cgroups(engine) if Path(path).name[:5] != "onggi"]
        found += [f"link {name}" for name in engines.links(engine) if not name.startswith("og")]
        for directory in (engine.root / "containers", engine.exec_root / "shims"):
            found += [str(path) for path in directory.iterdir()]
        return found


def _zygotes(daemon: int) -> list[int]:
    return [pid for pid in _children(daemon) if _cmdline(pid).startswith(b"onggi-zygote")]


def _resolver(pid: int) -> bool:
    return b"network.resolver" in _cmdline(pid)


def _cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def soak(engine: Engine, containers: int, seed: int) -> tuple[Soak, Figures, Figures]:
    """Run it: (what happened, figures in the middle, figures at the end)."""
    run = Soak(engine, random.Random(seed), random.Random(seed))
    begin = time.monotonic()
    while run.made < containers // 2:
        deed = run.wave(daemon_lives=False)
        print(f"{run.made:5} {time.monotonic() - begin:6.1f} s {deed}", flush=True)
    while run.made < containers // 2 + 3 * WAVE:  # a daemon that was just started has its caches to fill
        run.wave(daemon_lives=True)
    middle = run.figures()
    while run.made < containers:
        deed = run.wave(daemon_lives=True)
        print(f"{run.made:5} {time.monotonic() - begin:6.1f} s {deed}", flush=True)
    return run, middle, run.figures()


def main() -> None:
    containers = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"soak: {containers} containers, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="og", dir="/tmp") as top:
        with engines.onggi(Path(top)) as engine:
            engines.import_busybox(engine)
            run, middle, end = soak(engine, containers, seed)
            print(f"deeds {dict(run.deeds)}\nrefused {dict(run.refused)}\nmiddle {middle}\nend    {end}")
        print(f"left behind after the engine's end: {engines.leftovers(engine)}")


if __name__ == "__main__":
    main()
